// What the desktop's modules call. Generated from tools/maixpy/src/exports.rs.

#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "picture.h"

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

// Reads the command line and makes the board; ends the program where that is not possible.
//
// # Safety
// `argv` are `argc` strings.
const desktop_options_t *desktop_start(int32_t argc, const char *const *argv);

// The text of the last error; valid until the next one.
const char *desktop_error(void);

// Reads a picture file's bytes; NULL, or what is wrong.
//
// # Safety
// The pointers are as the module says.
const char *picture_decode(const uint8_t *bytes, size_t length, picture_t *picture);

// Makes a picture file's bytes; the name's ending says which format. NULL, or what is wrong.
//
// # Safety
// `name` is a string.
const char *picture_encode(const picture_t *picture, const char *name, picture_bytes_t *encoded);

// Takes a picture with the camera: 1, or 0 when the frames are over, or -1 (an error).
// `picture` is given back with `picture_release`.
int32_t desktop_take(uint32_t width, uint32_t height, picture_t *picture);

// Shows a frame on the LCD.
bool desktop_show(const picture_t *picture);

// Reads the flash; behind its end everything is erased.
//
// # Safety
// The pointers are as the module says.
void desktop_flash_read(size_t address, uint8_t *bytes, size_t length);

// Whether the BOOT key is held down.
bool desktop_key_is_down(void);
