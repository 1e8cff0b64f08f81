// Module `_board`: camera, screen, flash and key of the simulated board, for the modules written
// in Python.

#include "py/runtime.h"

#include "desktop.h"
#include "image.h"

// take(width, height): the camera's next picture. SystemExit when `--frames` are over.
static mp_obj_t board_take(mp_obj_t width, mp_obj_t height) {
    picture_t taken;
    int result = desktop_take(mp_obj_get_int(width), mp_obj_get_int(height), &taken);
    if (result < 0) {
        image_raise(desktop_error());
    }
    if (result == 0) {
        nlr_raise(mp_obj_new_exception(&mp_type_SystemExit));
    }
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        picture_release(&taken);
        nlr_jump(nlr.ret_val);
    }
    picture_t picture = image_allocate(taken.width, taken.height, taken.bytes_per_pixel);
    nlr_pop();
    picture_convert(&taken, &picture);
    picture_release(&taken);
    return image_new(picture, NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_2(board_take_obj, board_take);

// show(image): a frame on the LCD.
static mp_obj_t board_show(mp_obj_t image) {
    if (!desktop_show(&image_get(image)->picture)) {
        image_raise(desktop_error());
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(board_show_obj, board_show);

// read_flash(address, buffer)
static mp_obj_t board_read_flash(mp_obj_t address, mp_obj_t buffer) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(buffer, &info, MP_BUFFER_WRITE);
    desktop_flash_read(mp_obj_get_int(address), info.buf, info.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(board_read_flash_obj, board_read_flash);

// key(): whether the BOOT key is held down.
static mp_obj_t board_key(void) {
    return mp_obj_new_bool(desktop_key_is_down());
}
static MP_DEFINE_CONST_FUN_OBJ_0(board_key_obj, board_key);

// new_module(name): an empty module that `import` finds from now on.
static mp_obj_t board_new_module(mp_obj_t name) {
    return mp_obj_new_module(mp_obj_str_get_qstr(name));
}
static MP_DEFINE_CONST_FUN_OBJ_1(board_new_module_obj, board_new_module);

static const mp_rom_map_elem_t board_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__board) },
    { MP_ROM_QSTR(MP_QSTR_take), MP_ROM_PTR(&board_take_obj) },
    { MP_ROM_QSTR(MP_QSTR_show), MP_ROM_PTR(&board_show_obj) },
    { MP_ROM_QSTR(MP_QSTR_read_flash), MP_ROM_PTR(&board_read_flash_obj) },
    { MP_ROM_QSTR(MP_QSTR_new_module), MP_ROM_PTR(&board_new_module_obj) },
    { MP_ROM_QSTR(MP_QSTR_key), MP_ROM_PTR(&board_key_obj) },
};
static MP_DEFINE_CONST_DICT(board_globals, board_globals_table);

const mp_obj_module_t board_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&board_globals,
};
MP_REGISTER_MODULE(MP_QSTR__board, board_module);
