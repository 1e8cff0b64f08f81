// One source for MicroPython 1.11 to 1.26: the names that changed between them.
#pragma once

#include "py/obj.h"

#ifndef MP_NORETURN
#define MP_NORETURN NORETURN
#endif
