// Image objects of the desktop.
#pragma once

#include "compat.h"

#include "desktop.h"

typedef struct _image_obj_t {
    mp_obj_base_t base;
    desktop_picture_t picture;
    uint8_t *planes; // what pix_to_ai made, or NULL
    mp_obj_t owner;  // keeps the pixels, or MP_OBJ_NULL
} image_obj_t;

extern const mp_obj_type_t image_type;

// A picture whose pixels are on Python's heap.
mp_obj_t image_new(desktop_picture_t picture, uint8_t *planes);

// A new black picture.
desktop_picture_t image_allocate(int width, int height, int bytes_per_pixel);

// The image behind an object; TypeError where it is none.
image_obj_t *image_get(mp_obj_t object);

// Raises OSError with the library's last error.
MP_NORETURN void image_raise(void);
