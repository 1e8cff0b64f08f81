// Part of module `time`: included by MicroPython's extmod/modtime.c.

#include "py/mphal.h"

// Seconds since the chip started: a bare K210 has no calendar.
static mp_obj_t mp_time_time_get(void) {
    return mp_obj_new_int_from_uint(chip_microseconds() / 1000000);
}
