// What the KPU module needs of MaixPy and of CanMV: memory, a clock, the flash chip, images. Both
// firmwares have these headers.

#include <stdlib.h>
#include <string.h>

#include "kpu_image.h"
#include "kpu_port.h"
#include "py/runtime.h"
#include "py_image.h"
#include "sysctl.h"
#include "w25qxx.h"

#define FLASH_BYTES (16 * 1024 * 1024)

// From sipeed_mem.h, which CanMV has under another name: free bytes of the C heap.
size_t get_free_heap_size2(void);

// malloc aligns to 16; the block that free wants stands before the aligned memory.
static void *allocate(void *context, size_t bytes, size_t alignment) {
    (void)context;
    char *block = malloc(bytes + alignment + sizeof(void *));
    if (block == NULL) {
        return NULL;
    }
    uintptr_t begin = (uintptr_t)(block + sizeof(void *) + alignment - 1) & ~(uintptr_t)(alignment - 1);
    memcpy((char *)begin - sizeof(void *), &block, sizeof(void *));
    return (void *)begin;
}

static void release(void *context, void *memory) {
    (void)context;
    if (memory != NULL) {
        void *block;
        memcpy(&block, (char *)memory - sizeof(void *), sizeof(void *));
        free(block);
    }
}

static uint64_t microseconds(void *context) {
    (void)context;
    return sysctl_get_time_us();
}

static bool read_flash(void *context, uint32_t address, void *bytes, size_t length) {
    (void)context;
    return w25qxx_read_data_dma(address, bytes, length, W25QXX_QUAD_FAST) == W25QXX_OK;
}

void kpu_port_services(maix_kpu_services_t *services) {
    services->allocate = allocate;
    services->release = release;
    services->microseconds = microseconds;
    services->read_flash = read_flash;
    services->flash_size = FLASH_BYTES;
}

size_t kpu_port_free_memory(void) {
    return get_free_heap_size2();
}

bool kpu_image_get(mp_obj_t object, kpu_image_t *image) {
    if (!py_image_obj_is_image(object)) {
        return false;
    }
    const image_t *from = py_image_cobj(object);
    if (from->bpp != 1 && from->bpp != 2) {
        mp_raise_ValueError("[MAIXPY]kpu: the image is neither gray nor RGB565 (a binary or JPEG image?)");
    }
    image->width = from->w;
    image->height = from->h;
    image->bytes_per_pixel = from->bpp;
    image->pixels = from->pixels;
    image->planes = from->pix_ai;
    return true;
}

mp_obj_t kpu_image_new_gray(int width, int height, uint8_t *pixels) {
    return py_image(width, height, 1, pixels);
}
