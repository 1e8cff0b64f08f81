// What the desktop program's start sets for the ports of modules.
#pragma once

#include <stddef.h>

// Bytes that models may take, before the first is loaded.
void kpu_port_set_memory(size_t bytes);
