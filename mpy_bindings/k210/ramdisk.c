// `_board.RamDisk()`: the block device of /flash. Its blocks lie in the C heap, taken when they are
// written first, and stay over a soft reset.

#include <stdlib.h>
#include <string.h>

#include "extmod/vfs.h"
#include "py/mperrno.h"
#include "py/runtime.h"

#include "board.h"

#define BLOCK_BYTES 4096
#define BLOCKS 1024

static uint8_t *blocks[BLOCKS]; // NULL: erased

static mp_obj_t ramdisk_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return mp_obj_malloc(mp_obj_base_t, type);
}

// The arguments (block, buffer, offset) as a place in a block that is there; NULL where not all is.
static uint8_t **place_of(const mp_obj_t *arguments, mp_uint_t flags, size_t *offset, mp_buffer_info_t *info) {
    mp_int_t block = mp_obj_get_int(arguments[1]);
    mp_int_t begin = mp_obj_get_int(arguments[3]);
    mp_get_buffer_raise(arguments[2], info, flags);
    if (block < 0 || block >= BLOCKS || begin < 0 || begin > BLOCK_BYTES || info->len > (size_t)(BLOCK_BYTES - begin)) {
        return NULL;
    }
    *offset = begin;
    return &blocks[block];
}

static mp_obj_t ramdisk_readblocks(size_t count, const mp_obj_t *arguments) {
    size_t offset;
    mp_buffer_info_t info;
    uint8_t **block = place_of(arguments, MP_BUFFER_WRITE, &offset, &info);
    if (block == NULL) {
        return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
    }
    if (*block == NULL) {
        memset(info.buf, 0xFF, info.len);
    } else {
        memcpy(info.buf, *block + offset, info.len);
    }
    return MP_OBJ_NEW_SMALL_INT(0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(ramdisk_readblocks_obj, 4, 4, ramdisk_readblocks);

static mp_obj_t ramdisk_writeblocks(size_t count, const mp_obj_t *arguments) {
    size_t offset;
    mp_buffer_info_t info;
    uint8_t **block = place_of(arguments, MP_BUFFER_READ, &offset, &info);
    if (block == NULL) {
        return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
    }
    if (*block == NULL) {
        *block = malloc(BLOCK_BYTES);
        if (*block == NULL) {
            return MP_OBJ_NEW_SMALL_INT(-MP_ENOMEM);
        }
        memset(*block, 0xFF, BLOCK_BYTES);
    }
    memcpy(*block + offset, info.buf, info.len);
    return MP_OBJ_NEW_SMALL_INT(0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(ramdisk_writeblocks_obj, 4, 4, ramdisk_writeblocks);

static mp_obj_t ramdisk_ioctl(mp_obj_t self, mp_obj_t operation, mp_obj_t argument) {
    mp_int_t number = mp_obj_get_int(argument);
    switch (mp_obj_get_int(operation)) {
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(BLOCKS);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(BLOCK_BYTES);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            if (number < 0 || number >= BLOCKS) {
                return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
            }
            free(blocks[number]);
            blocks[number] = NULL;
            return MP_OBJ_NEW_SMALL_INT(0);
        default:
            return MP_OBJ_NEW_SMALL_INT(0);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(ramdisk_ioctl_obj, ramdisk_ioctl);

static const mp_rom_map_elem_t ramdisk_methods_table[] = {
    { MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&ramdisk_readblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&ramdisk_writeblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&ramdisk_ioctl_obj) },
};
static MP_DEFINE_CONST_DICT(ramdisk_methods, ramdisk_methods_table);

MP_DEFINE_CONST_OBJ_TYPE(
    ramdisk_type, MP_QSTR_RamDisk, MP_TYPE_FLAG_NONE,
    make_new, ramdisk_make_new,
    locals_dict, &ramdisk_methods
    );
