// What the files of this port share.
#pragma once

#include "py/obj.h"

// board.c: bytes of Python's heap from the next soft reset on; 0: as usual.
size_t board_gc_heap_bytes(void);
void board_set_gc_heap_bytes(size_t bytes);
// Free bytes of the C heap, which models are loaded into.
size_t board_free_bytes(void);

// ramdisk.c: a block device in the C heap.
extern const mp_obj_type_t ramdisk_type;
