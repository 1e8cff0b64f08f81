// What the KPU module needs of a PC: memory, a clock, the flash of the options.

#include <malloc.h>
#include <stdlib.h>

#include "py/mphal.h"

#include "desktop.h"
#include "kpu_port.h"
#include "program.h"

// As large as the boards' flash.
#define FLASH_BYTES (16 * 1024 * 1024)

// Bytes that models may still take.
static size_t free_bytes;

void kpu_port_set_memory(size_t bytes) {
    free_bytes = bytes;
}

static void *allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    if (alignment < sizeof(void *)) {
        alignment = sizeof(void *);
    }
    void *memory;
    if (bytes > free_bytes || posix_memalign(&memory, alignment, bytes) != 0) {
        return NULL;
    }
    size_t taken = malloc_usable_size(memory);
    free_bytes -= taken < free_bytes ? taken : free_bytes;
    return memory;
}

static void release(void *context, void *memory) {
    (void)context;
    free_bytes += malloc_usable_size(memory);
    free(memory);
}

static uint64_t microseconds(void *context) {
    (void)context;
    return mp_hal_ticks_us();
}

static bool read_flash(void *context, uint32_t address, void *bytes, size_t length) {
    (void)context;
    desktop_flash_read(address, bytes, length);
    return true;
}

void kpu_port_services(maix_kpu_services_t *services) {
    services->allocate = allocate;
    services->release = release;
    services->microseconds = microseconds;
    services->read_flash = read_flash;
    services->flash_size = FLASH_BYTES;
}

size_t kpu_port_free_memory(void) {
    return free_bytes;
}
