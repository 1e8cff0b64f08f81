// Module `_board`: flash and memory of the chip, for the modules written in Python.

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "py/mphal.h"
#include "py/runtime.h"

#include "board.h"

#define GC_HEAP_BYTES (1024 * 1024)
#define GC_HEAP_LEAST (128 * 1024)

// From k210.ld: an address, not a variable.
extern char __heap_end[];

// Valid where the two belong together: this memory holds anything when power comes.
static struct {
    uint64_t bytes, check;
} gc_heap __attribute__((section(".noinit")));

size_t board_gc_heap_bytes(void) {
    bool set = gc_heap.check == ~gc_heap.bytes && gc_heap.bytes >= GC_HEAP_LEAST;
    return set ? gc_heap.bytes : GC_HEAP_BYTES;
}

void board_set_gc_heap_bytes(size_t bytes) {
    gc_heap.bytes = bytes;
    gc_heap.check = ~gc_heap.bytes;
}

size_t board_free_bytes(void) {
    return mallinfo().fordblks + (__heap_end - (char *)sbrk(0));
}

// read_flash(address, buffer)
static mp_obj_t board_read_flash(mp_obj_t address_in, mp_obj_t buffer) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(buffer, &info, MP_BUFFER_WRITE);
    mp_int_t address = mp_obj_get_int(address_in);
    if (address < 0 || address > CHIP_FLASH_BYTES || info.len > (size_t)(CHIP_FLASH_BYTES - address)) {
        mp_raise_ValueError(MP_ERROR_TEXT("the flash has 16 MiB"));
    }
    flash_read(address, info.buf, info.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(board_read_flash_obj, board_read_flash);

// gc_heap_size([bytes]): of Python's heap; a new size counts from the next soft reset on.
static mp_obj_t board_gc_heap_size(size_t count, const mp_obj_t *arguments) {
    if (count == 0) {
        return mp_obj_new_int_from_uint(board_gc_heap_bytes());
    }
    mp_int_t bytes = mp_obj_get_int(arguments[0]);
    mp_int_t most = board_gc_heap_bytes() + board_free_bytes();
    if (bytes < GC_HEAP_LEAST || bytes > most) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("wanted %d to %d bytes"), GC_HEAP_LEAST, (int)most);
    }
    board_set_gc_heap_bytes(bytes);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(board_gc_heap_size_obj, 0, 1, board_gc_heap_size);

// heap_free(): bytes of the C heap.
static mp_obj_t board_heap_free(void) {
    return mp_obj_new_int_from_uint(board_free_bytes());
}
static MP_DEFINE_CONST_FUN_OBJ_0(board_heap_free_obj, board_heap_free);

// frequencies(): of the CPU and the KPU, in MHz.
static mp_obj_t board_frequencies(void) {
    mp_obj_t items[2] = {
        MP_OBJ_NEW_SMALL_INT(CHIP_CPU_HZ / 1000000),
        MP_OBJ_NEW_SMALL_INT(CHIP_KPU_HZ / 1000000),
    };
    return mp_obj_new_tuple(2, items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(board_frequencies_obj, board_frequencies);

static const mp_rom_map_elem_t board_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__board) },
    { MP_ROM_QSTR(MP_QSTR_RamDisk), MP_ROM_PTR(&ramdisk_type) },
    { MP_ROM_QSTR(MP_QSTR_read_flash), MP_ROM_PTR(&board_read_flash_obj) },
    { MP_ROM_QSTR(MP_QSTR_gc_heap_size), MP_ROM_PTR(&board_gc_heap_size_obj) },
    { MP_ROM_QSTR(MP_QSTR_heap_free), MP_ROM_PTR(&board_heap_free_obj) },
    { MP_ROM_QSTR(MP_QSTR_frequencies), MP_ROM_PTR(&board_frequencies_obj) },
};
static MP_DEFINE_CONST_DICT(board_globals, board_globals_table);

const mp_obj_module_t board_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&board_globals,
};
MP_REGISTER_MODULE(MP_QSTR__board, board_module);
