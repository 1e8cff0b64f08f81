// What the KPU module needs of this port: the C heap, a clock, the flash chip.

#include <malloc.h>
#include <stdlib.h>

#include "py/mphal.h"

#include "board.h"
#include "kpu_port.h"

static void *allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    return memalign(alignment, bytes);
}

static void release(void *context, void *memory) {
    (void)context;
    free(memory);
}

static uint64_t microseconds(void *context) {
    (void)context;
    return chip_microseconds();
}

static bool read_flash(void *context, uint32_t address, void *bytes, size_t length) {
    (void)context;
    flash_read(address, bytes, length);
    return true;
}

void kpu_port_services(maix_kpu_services_t *services) {
    services->allocate = allocate;
    services->release = release;
    services->microseconds = microseconds;
    services->read_flash = read_flash;
    services->flash_size = CHIP_FLASH_BYTES;
}

size_t kpu_port_free_memory(void) {
    return board_free_bytes();
}
