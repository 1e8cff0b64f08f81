// One source for MicroPython 1.11 to 1.26: the names that changed between them.
#pragma once

#include "py/mpstate.h"
#include "py/obj.h"
#include "py/runtime.h"

#ifndef MP_ROM_NONE
#define MP_ROM_NONE MP_ROM_PTR(&mp_const_none_obj)
#endif
#ifndef MP_NORETURN
#define MP_NORETURN NORETURN
#endif

// COMPAT_TYPE(symbol, qstr, COMPAT_SLOT(print, f) COMPAT_SLOT(locals_dict, &dict) ...): a type.
#ifdef MP_DEFINE_CONST_OBJ_TYPE
#define COMPAT_SLOT(slot, value) , slot, value
#define COMPAT_TYPE(symbol, name, slots) COMPAT_TYPE_(symbol, name, MP_TYPE_FLAG_NONE slots)
#define COMPAT_TYPE_(...) MP_DEFINE_CONST_OBJ_TYPE(__VA_ARGS__)
#else
#define COMPAT_SLOT(slot, value) COMPAT_SLOT_##slot(value)
#define COMPAT_SLOT_make_new(value) .make_new = value,
#define COMPAT_SLOT_print(value) .print = value,
#define COMPAT_SLOT_unary_op(value) .unary_op = value,
#define COMPAT_SLOT_subscr(value) .subscr = value,
#define COMPAT_SLOT_buffer(value) .buffer_p = {.get_buffer = value},
#define COMPAT_SLOT_locals_dict(value) .locals_dict = (mp_obj_dict_t *)(value),
#define COMPAT_TYPE(symbol, qstr, slots) const mp_obj_type_t symbol = {{&mp_type_type}, .name = qstr, slots}
#define MP_ERROR_TEXT(text) (text)
#ifndef mp_raise_msg_varg
#define mp_raise_msg_varg(type, ...) nlr_raise(mp_obj_new_exception_msg_varg(type, __VA_ARGS__))
#endif
#ifndef mp_obj_is_type
#define mp_obj_is_type(object, type) MP_OBJ_IS_TYPE(object, type)
#define mp_obj_is_int(object) MP_OBJ_IS_INT(object)
#define mp_obj_is_small_int(object) MP_OBJ_IS_SMALL_INT(object)
#define mp_obj_is_str(object) MP_OBJ_IS_STR(object)
#endif
#endif


#ifndef mp_obj_malloc
#define mp_obj_malloc(struct_type, type) compat_with_type(&m_new_obj(struct_type)->base, type)
#endif

#ifndef mp_obj_malloc_with_finaliser
static inline void *compat_with_type(mp_obj_base_t *base, const mp_obj_type_t *type) {
    base->type = type;
    return base;
}
#define mp_obj_malloc_with_finaliser(struct_type, type) \
    compat_with_type(&m_new_obj_with_finaliser(struct_type)->base, type)
#endif

// Whether an exception waits, such as the KeyboardInterrupt of Ctrl-C.
static inline bool compat_exception_pending(void) {
    #if defined(MP_STATE_MAIN_THREAD)
    return MP_STATE_MAIN_THREAD(mp_pending_exception) != MP_OBJ_NULL;
    #else
    return MP_STATE_VM(mp_pending_exception) != MP_OBJ_NULL;
    #endif
}

// Makes a module known by a name.
#ifdef MP_DEFINE_CONST_OBJ_TYPE
#define COMPAT_REGISTER_MODULE(name, module) MP_REGISTER_MODULE(name, module)
#else
#define COMPAT_REGISTER_MODULE(name, module) MP_REGISTER_MODULE(name, module, 1)
#endif
