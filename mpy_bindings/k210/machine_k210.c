// Part of module `machine`: included by MicroPython's extmod/modmachine.c.

#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/runtime.h"

// Of the library, as in MaixPy: the SHA-256 of the chip's number.
bool sipeed_uid_get(uint8_t number[32]);

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

static mp_obj_t chip_unique_id(void) {
    uint8_t number[32];
    if (!sipeed_uid_get(number)) {
        mp_raise_OSError(MP_EIO);
    }
    return mp_obj_new_bytes(number, sizeof(number));
}
static MP_DEFINE_CONST_FUN_OBJ_0(chip_unique_id_obj, chip_unique_id);

#define MICROPY_PY_MACHINE_EXTRA_GLOBALS \
    { MP_ROM_QSTR(MP_QSTR_unique_id), MP_ROM_PTR(&chip_unique_id_obj) },
