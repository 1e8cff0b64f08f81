// What MicroPython calls on this chip.
#pragma once

#include "chip.h"

#define MICROPY_BEGIN_ATOMIC_SECTION() chip_disable_interrupts()
#define MICROPY_END_ATOMIC_SECTION(state) chip_restore_interrupts(state)
#define MICROPY_INTERNAL_WFE(milliseconds) chip_sleep(milliseconds)

static inline mp_uint_t mp_hal_ticks_us(void) {
    return chip_microseconds();
}

static inline mp_uint_t mp_hal_ticks_ms(void) {
    return chip_microseconds() / 1000;
}

static inline mp_uint_t mp_hal_ticks_cpu(void) {
    return chip_cycles();
}

// Nanoseconds since the chip started: a bare K210 has no calendar.
static inline uint64_t mp_hal_time_ns(void) {
    return chip_microseconds() * 1000;
}

static inline void mp_hal_delay_us(mp_uint_t us) {
    uint64_t begin = chip_microseconds();
    while (chip_microseconds() - begin < us) {
    }
}

void mp_hal_set_interrupt_char(int c);
