// Image objects.
#pragma once

#include "compat.h"

#include "picture.h"

typedef struct _image_obj_t {
    mp_obj_base_t base;
    picture_t picture;
    uint8_t *planes; // what pix_to_ai made, or NULL
} image_obj_t;

extern const mp_obj_type_t image_type;

// A picture whose pixels are on Python's heap.
mp_obj_t image_new(picture_t picture, uint8_t *planes);

// A new black picture.
picture_t image_allocate(int width, int height, int bytes_per_pixel);

// The image behind an object; TypeError where it is none.
image_obj_t *image_get(mp_obj_t object);

// Raises OSError with a text.
MP_NORETURN void image_raise(const char *text);

// What a port gives: picture files. Both return NULL, or what is wrong. image.c gives back what they
// made with picture_release and picture_release_bytes.
const char *picture_decode(const uint8_t *bytes, size_t length, picture_t *picture);
const char *picture_encode(const picture_t *picture, const char *name, picture_bytes_t *encoded);
