// Part of module `machine`: included by MicroPython's extmod/modmachine.c.

#include "py/mphal.h"

#define SYSCTL_RESET_STATUS SYSCTL(0x60)

static void mp_machine_idle(void) {
    chip_sleep(-1);
}

NORETURN static void mp_machine_reset(void) {
    chip_reset();
}

// Bits: 1 power, 2 watchdog 0, 4 watchdog 1, 8 machine.reset()... as the chip says it.
static mp_int_t mp_machine_reset_cause(void) {
    return SYSCTL_RESET_STATUS;
}
