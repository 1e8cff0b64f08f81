// MicroPython on a K210: what a MaixPy board has, with single-precision floats.
#pragma once

#include <alloca.h>
#include <stdint.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)

#define MICROPY_ALLOC_PATH_MAX (256)
#define MICROPY_ENABLE_EMERGENCY_EXCEPTION_BUF (1)
#define MICROPY_ENABLE_GC (1)
#define MICROPY_ERROR_REPORTING (MICROPY_ERROR_REPORTING_DETAILED)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MICROPY_HELPER_REPL (1)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_READER_VFS (1)
#define MICROPY_VFS (1)
#define MICROPY_WARNINGS (1)

// Exceptions cross functions that keep floats in registers, which only setjmp knows of.
#define MICROPY_NLR_SETJMP (1)
#define MICROPY_GCREGS_SETJMP (1)

#define MICROPY_PY_MACHINE (1)
#define MICROPY_PY_MACHINE_INCLUDEFILE "machine_k210.c"
#define MICROPY_PY_MACHINE_RESET (1)
#define MICROPY_PY_OS_UNAME (1)
#define MICROPY_PY_SYS_PLATFORM "k210"
#define MICROPY_PY_TIME_INCLUDEFILE "time_k210.c"
#define MICROPY_PY_TIME_TIME_TIME_NS (1)

#define MICROPY_HW_BOARD_NAME "K210 board"
#define MICROPY_HW_MCU_NAME "kendryte-k210"

#define MP_STATE_PORT MP_STATE_VM

typedef intptr_t mp_int_t;
typedef uintptr_t mp_uint_t;
typedef long mp_off_t;

#define MP_SSIZE_MAX INTPTR_MAX
