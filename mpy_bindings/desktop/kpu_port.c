// What the KPU module needs of a PC: memory, a clock, the flash of the options.

#include <stdlib.h>

#include "py/mphal.h"

#include "desktop.h"
#include "kpu_port.h"

// As large as the boards' flash.
#define FLASH_BYTES (16 * 1024 * 1024)

static void *allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    if (alignment < sizeof(void *)) {
        alignment = sizeof(void *);
    }
    void *memory;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void release(void *context, void *memory) {
    (void)context;
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
    return 0; // a PC has no small heap to count
}
