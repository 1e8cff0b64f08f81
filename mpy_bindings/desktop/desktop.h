// What the desktop's modules call. Generated from tools/maixpy/src/exports.rs.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What the command line said; valid for the whole program.
typedef struct {
  // The script.
  const char *script;
  // What follows it, `argument_count` strings.
  const char *const *arguments;
  // Number of arguments.
  size_t argument_count;
  // Folder of /sd, or NULL.
  const char *sd;
  // Folder of /flash, or NULL.
  const char *spiffs;
  // The names that CanMV's boot script makes, not MaixPy's.
  bool canmv;
  // Bytes of Python's heap.
  size_t heap_bytes;
  // Bytes of memory for models.
  size_t memory_bytes;
} desktop_options_t;

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
} desktop_picture_t;

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
} desktop_rotation_t;

// A colour and a way to draw.
typedef struct {
  // The stored value: gray or RGB565.
  uint16_t value;
  // Pixels.
  uint32_t thickness;
  // Fill the shape.
  bool fill;
} desktop_pen_t;

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
} desktop_text_t;

// Bytes that the library made.
typedef struct {
  // The bytes.
  uint8_t *bytes;
  // Their number.
  size_t length;
} desktop_bytes_t;

// Reads the command line and makes the board; ends the program where that is not possible.
//
// # Safety
// `argv` are `argc` strings.
const desktop_options_t *desktop_start(int32_t argc, const char *const *argv);

// The text of the last error; valid until the next one.
const char *desktop_error(void);

// Red, green and blue of an RGB565 value.
void desktop_rgb(uint16_t value, uint8_t (*rgb)[3]);

// How a colour is stored in pictures of this many bytes per pixel.
uint16_t desktop_value(const uint8_t (*rgb)[3], int32_t bytes_per_pixel);

// Fills `to` with `from`, which has the same size, converted to the format of `to`.
void desktop_convert(const desktop_picture_t *from, desktop_picture_t *to);

// Fills `to` with `from`, which has the same format, in the size of `to`.
void desktop_resize(const desktop_picture_t *from, desktop_picture_t *to);

// Fills `to`, which is RGB565, with the rainbow colours of the brightness of `from`.
void desktop_rainbow(const desktop_picture_t *from, desktop_picture_t *to);

// Draws a picture into another with its upper left corner at a place, scaled.
void desktop_draw_picture(desktop_picture_t *to,
                          const desktop_picture_t *from,
                          int32_t x,
                          int32_t y,
                          float scale_x,
                          float scale_y);

// Writes the planes that the KPU takes: R, G, B, or gray; width * height bytes each.
//
// # Safety
// The pointers are as the module says.
void desktop_planes(const desktop_picture_t *from, uint8_t *planes);

// Fills a picture with its planes.
//
// # Safety
// The pointers are as the module says.
void desktop_take_planes(desktop_picture_t *to, const uint8_t *planes);

// Turns every bit over.
void desktop_invert(desktop_picture_t *picture);

// Mirrors left and right, and turns upside down.
void desktop_flip(desktop_picture_t *picture, bool mirror, bool upside_down);

// Stretches the contrast of a gray picture.
void desktop_stretch_contrast(desktop_picture_t *picture, bool dark_corners);

// Turns a picture.
void desktop_rotate(desktop_picture_t *picture, const desktop_rotation_t *rotation);

// The transform (two lines of a 3 x 3 matrix) that takes the `count` points `to` to `from`, each
// x and y.
//
// # Safety
// The pointers are as the module says.
void desktop_estimate_transform(const float *from,
                                const float *to,
                                size_t count,
                                float (*transform)[6]);

// Fills the planes of `to` with those of `from`, looked up through a transform. Both have the
// same bytes per pixel; their pixels are not used.
//
// # Safety
// The pointers are as the module says.
void desktop_warp_planes(const desktop_picture_t *from,
                         const uint8_t *from_planes,
                         const desktop_picture_t *to,
                         uint8_t *to_planes,
                         const float (*transform)[6]);

// Draws a line.
void desktop_draw_line(desktop_picture_t *picture,
                       int32_t from_x,
                       int32_t from_y,
                       int32_t to_x,
                       int32_t to_y,
                       const desktop_pen_t *pen);

// Draws a box.
void desktop_draw_rectangle(desktop_picture_t *picture,
                            int32_t x,
                            int32_t y,
                            uint32_t width,
                            uint32_t height,
                            const desktop_pen_t *pen);

// Draws a circle.
void desktop_draw_circle(desktop_picture_t *picture,
                         int32_t x,
                         int32_t y,
                         uint32_t radius,
                         const desktop_pen_t *pen);

// Draws a cross with arms of `size` pixels.
void desktop_draw_cross(desktop_picture_t *picture,
                        int32_t x,
                        int32_t y,
                        int32_t size,
                        const desktop_pen_t *pen);

// Draws text.
void desktop_draw_text(desktop_picture_t *picture, const desktop_text_t *text);

// Draws further text in a font whose glyphs are these bytes.
//
// # Safety
// The pointers are as the module says.
void desktop_font_load(size_t width, size_t height, const uint8_t *glyphs, size_t length);

// Draws further text in a font that lies in the flash.
void desktop_font_load_flash(size_t width, size_t height, size_t address);

// Draws further text in the built-in font.
void desktop_font_free(void);

// Reads a picture file's bytes. `picture` is given back with `desktop_release`.
//
// # Safety
// The pointers are as the module says.
bool desktop_decode(const uint8_t *bytes, size_t length, desktop_picture_t *picture);

// Frees the pixels that `desktop_decode` or `desktop_take` gave.
void desktop_release(desktop_picture_t *picture);

// Makes a picture file's bytes; the name's ending says which format. Given back with
// [`desktop_release_bytes`].
//
// # Safety
// `name` is a string.
bool desktop_encode(const desktop_picture_t *picture, const char *name, desktop_bytes_t *encoded);

// Frees what `desktop_encode` gave.
void desktop_release_bytes(desktop_bytes_t *encoded);

// Takes a picture with the camera: 1, or 0 when the frames are over, or -1 (an error).
// `picture` is given back with `desktop_release`.
int32_t desktop_take(uint32_t width, uint32_t height, desktop_picture_t *picture);

// Shows a frame on the LCD.
bool desktop_show(const desktop_picture_t *picture);

// Reads the flash; behind its end everything is erased.
//
// # Safety
// The pointers are as the module says.
void desktop_flash_read(size_t address, uint8_t *bytes, size_t length);

// Whether the BOOT key is held down.
bool desktop_key_is_down(void);
