// MicroPython's unix port as a K210 board: single-precision floats, as on the chip.
#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)
#define MICROPY_PY_SYS_PLATFORM "MaixPy"

#include "variants/mpconfigvariant_common.h"

// Ctrl-C ends a script between two operations, never inside one of ours.
#undef MICROPY_ASYNC_KBD_INTR
#define MICROPY_ASYNC_KBD_INTR (0)
