// `_maix`: what the ports' `maix` module takes from here.

#include "kpu_objects.h"

static const mp_rom_map_elem_t names[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR__maix)},
    {MP_ROM_QSTR(MP_QSTR_KPU), MP_ROM_PTR(&kpu_class_type)},
};
static MP_DEFINE_CONST_DICT(names_dict, names);

const mp_obj_module_t maix_kpu_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&names_dict,
};

COMPAT_REGISTER_MODULE(MP_QSTR__maix, maix_kpu_module);
