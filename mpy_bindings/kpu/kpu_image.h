// What the KPU module needs of a firmware's image objects. A port with images defines these two
// functions.
#pragma once

#include "py/obj.h"

typedef struct {
    int width, height;     // pixels
    int bytes_per_pixel;   // 1: gray; 2: RGB565, high byte first
    const uint8_t *pixels; // line by line
    const uint8_t *planes; // width * height bytes of R, G, B or gray each (pix_to_ai); or NULL
} kpu_image_t;

// Whether an object is an image; describes it.
bool kpu_image_get(mp_obj_t object, kpu_image_t *image);

// A gray image on these pixels, a block of Python's heap.
mp_obj_t kpu_image_new_gray(int width, int height, uint8_t *pixels);
