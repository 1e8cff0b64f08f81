// What image.c calls. Generated from mpy_bindings/image/src/exports.rs.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A picture: lines one after the other, no padding.
typedef struct {
  // Pixels of a line, > 0.
  int32_t width;
  // Lines, > 0.
  int32_t height;
  // 1: gray; 2: RGB565, high byte first.
  int32_t bytes_per_pixel;
  // width * height * bytes_per_pixel bytes.
  uint8_t *pixels;
} picture_t;

// How a picture is turned: degrees and pixels.
typedef struct {
  // Around the x, y and z axis.
  float angles[3];
  // Moves right and down.
  float translation[2];
  // Enlarges, > 0.
  float zoom;
  // Degrees, > 0 and < 180.
  float field_of_view;
} picture_rotation_t;

// A colour and a way to draw.
typedef struct {
  // The stored value: gray or RGB565.
  uint16_t value;
  // Pixels.
  uint32_t thickness;
  // Fill the shape.
  bool fill;
} picture_pen_t;

// How text is drawn.
typedef struct {
  // The text, UTF-8.
  const char *text;
  // Bytes of the text.
  size_t length;
  // Left of the first character.
  int32_t x;
  // Top of the first character.
  int32_t y;
  // The stored value of the colour.
  uint16_t value;
  // Enlarges the characters.
  float scale;
  // More pixels between characters.
  int32_t x_spacing;
  // More pixels between lines.
  int32_t y_spacing;
  // Glyphs of the text's characters one behind the other, or NULL: those of the built-in font.
  const uint8_t *glyphs;
  // Bytes of the glyphs.
  size_t glyph_bytes;
  // Dots of a glyph's line, a multiple of 8.
  size_t glyph_width;
  // Lines of a glyph.
  size_t glyph_height;
} picture_text_t;

// Bytes that the library made.
typedef struct {
  // The bytes.
  uint8_t *bytes;
  // Their number.
  size_t length;
} picture_bytes_t;

// Red, green and blue of an RGB565 value.
void picture_rgb(uint16_t value, uint8_t (*rgb)[3]);

// How a colour is stored in pictures of this many bytes per pixel.
uint16_t picture_value(const uint8_t (*rgb)[3], int32_t bytes_per_pixel);

// Fills `to` with `from`, which has the same size, converted to the format of `to`.
void picture_convert(const picture_t *from, picture_t *to);

// Fills `to` with `from`, which has the same format, in the size of `to`.
void picture_resize(const picture_t *from, picture_t *to);

// Fills `to`, which is RGB565, with the rainbow colours of the brightness of `from`.
void picture_rainbow(const picture_t *from, picture_t *to);

// Draws a picture into another with its upper left corner at a place, scaled.
void picture_draw_picture(picture_t *to,
                          const picture_t *from,
                          int32_t x,
                          int32_t y,
                          float scale_x,
                          float scale_y);

// Writes the planes that the KPU takes: R, G, B, or gray; width * height bytes each.
//
// # Safety
// The pointers are as the module says.
void picture_planes(const picture_t *from, uint8_t *planes);

// Fills a picture with its planes.
//
// # Safety
// The pointers are as the module says.
void picture_take_planes(picture_t *to, const uint8_t *planes);

// Turns every bit over.
void picture_invert(picture_t *picture);

// Mirrors left and right, and turns upside down.
void picture_flip(picture_t *picture, bool mirror, bool upside_down);

// Stretches the contrast of a gray picture.
void picture_stretch_contrast(picture_t *picture, bool dark_corners);

// Turns a picture.
void picture_rotate(picture_t *picture, const picture_rotation_t *rotation);

// The transform (two lines of a 3 x 3 matrix) that takes the `count` points `to` to `from`, each
// x and y.
//
// # Safety
// The pointers are as the module says.
void picture_estimate_transform(const float *from,
                                const float *to,
                                size_t count,
                                float (*transform)[6]);

// Fills the planes of `to` with those of `from`, looked up through a transform. Both have the
// same bytes per pixel; their pixels are not used.
//
// # Safety
// The pointers are as the module says.
void picture_warp_planes(const picture_t *from,
                         const uint8_t *from_planes,
                         const picture_t *to,
                         uint8_t *to_planes,
                         const float (*transform)[6]);

// Draws a line.
void picture_draw_line(picture_t *picture,
                       int32_t from_x,
                       int32_t from_y,
                       int32_t to_x,
                       int32_t to_y,
                       const picture_pen_t *pen);

// Draws a box.
void picture_draw_rectangle(picture_t *picture,
                            int32_t x,
                            int32_t y,
                            uint32_t width,
                            uint32_t height,
                            const picture_pen_t *pen);

// Draws a circle.
void picture_draw_circle(picture_t *picture,
                         int32_t x,
                         int32_t y,
                         uint32_t radius,
                         const picture_pen_t *pen);

// Draws a cross with arms of `size` pixels.
void picture_draw_cross(picture_t *picture,
                        int32_t x,
                        int32_t y,
                        int32_t size,
                        const picture_pen_t *pen);

// Draws text.
void picture_draw_text(picture_t *picture, const picture_text_t *text);

// Frees the pixels that the port gave.
void picture_release(picture_t *picture);

// Frees the bytes that the port gave.
void picture_release_bytes(picture_bytes_t *encoded);
