// The console: UARTHS, 115,200 baud, with a buffer that an interrupt fills.

#include "py/mphal.h"
#include "py/ringbuf.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "shared/runtime/interrupt_char.h"

#define UARTHS(offset) CHIP_REGISTER(0x38000000 + (offset))
#define TX UARTHS(0x00)
#define RX UARTHS(0x04)
#define TX_CONTROL UARTHS(0x08)
#define RX_CONTROL UARTHS(0x0C)
#define INTERRUPTS UARTHS(0x10)
#define DIVISOR UARTHS(0x18)
#define NOT_NOW (1u << 31) // read from TX: it is full; read from RX: it is empty
#define ENABLE 1u
#define RX_INTERRUPT 2u

#define SOURCE 33
#define PLIC_PRIORITY CHIP_REGISTER(0x0C000000 + 4 * SOURCE)
#define PLIC_ENABLE CHIP_REGISTER(0x0C002000 + SOURCE / 32 * 4)

#define BAUD 115200

static uint8_t input_bytes[4096];
static ringbuf_t input = {input_bytes, sizeof(input_bytes), 0, 0};

void serial_start(void) {
    DIVISOR = CHIP_CPU_HZ / BAUD - 1;
    TX_CONTROL = ENABLE;
    RX_CONTROL = ENABLE;
    INTERRUPTS = RX_INTERRUPT;
    PLIC_PRIORITY = 1;
    PLIC_ENABLE |= 1u << SOURCE % 32;
}

// Takes what has come; where the buffer is full, the rest waits in the chip.
void serial_interrupt(void) {
    while (ringbuf_free(&input) > 0) {
        uint32_t received = RX;
        if (received & NOT_NOW) {
            return;
        }
        if ((received & 255) == (uint32_t)mp_interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            ringbuf_put(&input, received & 255);
        }
    }
    INTERRUPTS = 0;
}

bool serial_has_input(void) {
    return ringbuf_avail(&input) > 0;
}

static void send(uint8_t byte) {
    while (TX & NOT_NOW) {
    }
    TX = byte;
}

void serial_say(const char *text) {
    while (*text != 0) {
        send(*text++);
    }
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int byte = ringbuf_get(&input);
        if (byte >= 0) {
            INTERRUPTS = RX_INTERRUPT;
            return byte;
        }
        mp_event_wait_indefinite();
    }
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        send(text[i]);
    }
    return length;
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    uintptr_t ready = flags & MP_STREAM_POLL_WR;
    if ((flags & MP_STREAM_POLL_RD) && serial_has_input()) {
        ready |= MP_STREAM_POLL_RD;
    }
    return ready;
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t begin = chip_microseconds(), all = (uint64_t)ms * 1000, gone;
    mp_event_handle_nowait();
    while ((gone = chip_microseconds() - begin) < all) {
        // Input that nobody reads ends every sleep at once: then time is waited for awake.
        mp_event_wait_ms((all - gone + 999) / 1000);
    }
}
