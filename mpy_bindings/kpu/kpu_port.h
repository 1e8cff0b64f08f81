// What the KPU module needs of a port, beside kpu_image.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "maix_kpu.h"

// Fills in the services that differ from port to port: memory, time, flash.
void kpu_port_services(maix_kpu_services_t *services);

// Bytes of memory outside of Python's heap that are free, or 0 where nobody knows.
size_t kpu_port_free_memory(void);
