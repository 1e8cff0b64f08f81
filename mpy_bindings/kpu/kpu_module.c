// `import KPU`: MaixPy's module.

#include <string.h>

#include "kpu_objects.h"
#include "kpu_port.h"
#include "py/gc.h"
#include "py/runtime.h"

// ---- loading --------------------------------------------------------------------------------

// load(address | path | bytes) -> task
static mp_obj_t module_load(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    (void)count;
    (void)named;
    kpu_net_obj_t *net = kpu_net_new();
    kpu_net_load(net, arguments[0], false);
    return MP_OBJ_FROM_PTR(net);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(module_load_obj, 1, module_load);

// load_flash(address[, is_dual_buf, batch_size, spi_speed]) -> task: weights stay in flash. The last
// three are checked and have no effect: the port's driver knows what is best.
static mp_obj_t module_load_flash(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    (void)named;
    for (size_t i = 0; i < count; i++) {
        if (!mp_obj_is_int(arguments[i])) {
            kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: load_flash arg format error: task=kpu.load_flash(flash_addr, is_dual_buf, batch_size, spi_speed)");
        }
    }
    kpu_net_obj_t *net = kpu_net_new();
    kpu_net_load(net, arguments[0], true);
    return MP_OBJ_FROM_PTR(net);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(module_load_flash_obj, 1, module_load_flash);

// deinit(task) -> True
static mp_obj_t module_deinit(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    (void)count;
    (void)named;
    kpu_net_free(kpu_net_get(arguments[0]));
    return mp_const_true;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(module_deinit_obj, 1, module_deinit);

// ---- running --------------------------------------------------------------------------------

static mp_obj_t refuse(const char *text) {
    mp_printf(&mp_plat_print, "[MAIXPY]kpu: %s\n", text);
    return mp_const_false;
}

// set_outputs(task, index, w, h, ch): the shape that feature maps of this output show. Optional.
static mp_obj_t module_set_outputs(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    (void)named;
    bool good = count >= 5 && mp_obj_is_type(arguments[0], &kpu_net_type);
    uint16_t numbers[4];
    for (size_t i = 0; good && i < 4; i++) {
        good = mp_obj_is_int(arguments[1 + i]);
        numbers[i] = good ? (uint16_t)mp_obj_get_int_truncated(arguments[1 + i]) : 0;
    }
    if (!good) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: set_outputs arg format error: set_outputs(task, int idx, int w, int h, int ch)");
    }
    kpu_net_obj_t *net = MP_OBJ_TO_PTR(arguments[0]);
    if (net->model == NULL || kpu_net_info(net).version == 3) {
        return refuse("set_outputs ctx error, maybe init err:2002");
    }
    if (numbers[0] >= net->shape_count) {
        mp_printf(&mp_plat_print, "[MAIXPY]kpu: set_outputs arg value error:kmodel output idx %u out of range\n", numbers[0]);
        return mp_const_false;
    }
    maix_kpu_tensor_t tensor;
    kpu_check(maix_kpu_output(net->model, numbers[0], &tensor));
    size_t element = tensor.dtype == MAIX_KPU_F32 ? sizeof(float) : 1;
    if ((size_t)numbers[1] * numbers[2] * numbers[3] * element != tensor.bytes) {
        mp_printf(&mp_plat_print, "w*h*ch!=%u\n", (unsigned)tensor.bytes);
        refuse("set_outputs arg value error: w,c,ch size not match output size");
        mp_printf(&mp_plat_print, "[MAIXPY]kpu: the output has %u values: set_outputs(task, %u, %u, %u, %u), or leave it out\n",
            (unsigned)(tensor.bytes / element), numbers[0], (unsigned)tensor.w, (unsigned)tensor.h, (unsigned)(tensor.c * tensor.n));
        return mp_const_false;
    }
    net->shapes[numbers[0]] = (struct kpu_shape) {true, numbers[1], numbers[2], numbers[3]};
    return mp_const_true;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(module_set_outputs_obj, 4, module_set_outputs);

static mp_obj_t output(kpu_net_obj_t *net, mp_int_t index, const char *complaint) {
    uint16_t cut = (uint16_t)index; // as the original
    if (cut >= kpu_net_info(net).outputs) {
        mp_raise_msg_varg(&mp_type_OSError, MP_ERROR_TEXT("%s: output %d of a model with %d"), complaint, (int)index, (int)kpu_net_info(net).outputs);
    }
    return kpu_fmap_new(net, cut);
}

// forward(task, input, out_index=0, dma=-1, scale=None, mean=None, std=None) -> feature map
static mp_obj_t module_forward(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    enum { ARG_net, ARG_img, ARG_out_index, ARG_dma, ARG_scale, ARG_mean, ARG_std, ARGUMENTS };
    static const mp_arg_t allowed[ARGUMENTS] = {
        {MP_QSTR_kpu_net, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_img, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_out_index, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_dma, MP_ARG_INT, {.u_int = -1}},
        {MP_QSTR_scale, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_mean, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_std, MP_ARG_KW_ONLY | MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
    };
    mp_arg_val_t values[ARGUMENTS];
    mp_arg_parse_all(count, arguments, named, ARGUMENTS, allowed, values);
    kpu_net_obj_t *net = kpu_net_open(values[ARG_net].u_obj);
    kpu_run_t how = {
        values[ARG_scale].u_obj, values[ARG_mean].u_obj, values[ARG_std].u_obj, values[ARG_dma].u_int, NULL,
    };
    kpu_net_run(net, values[ARG_img].u_obj, &how);
    return output(net, values[ARG_out_index].u_int, "sipeed_kpu_get_output err");
}
static MP_DEFINE_CONST_FUN_OBJ_KW(module_forward_obj, 1, module_forward);

// get_output(task, index) -> feature map of the last run
static mp_obj_t module_get_output(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    (void)count;
    (void)named;
    if (!mp_obj_is_type(arguments[0], &kpu_net_type) || !mp_obj_is_int(arguments[1])) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: get_output arg format error: get_output(task, int idx)");
    }
    kpu_net_obj_t *net = MP_OBJ_TO_PTR(arguments[0]);
    if (net->model == NULL) {
        return mp_const_none;
    }
    return output(net, mp_obj_get_int_truncated(arguments[1]), "get_output err");
}
static MP_DEFINE_CONST_FUN_OBJ_KW(module_get_output_obj, 2, module_get_output);

// set_layers(task, n): run only the first n layers; n <= 0: all. -> bool
static mp_obj_t module_set_layers(mp_obj_t task, mp_obj_t layers_in) {
    kpu_net_obj_t *net = kpu_net_get(task);
    mp_int_t layers = mp_obj_get_int(layers_in);
    if (net->model == NULL) {
        return mp_const_true;
    }
    uint32_t all = kpu_net_info(net).nodes;
    if (layers > (mp_int_t)all) {
        mp_printf(&mp_plat_print, "err: set layers_length to %d, but max %d\n", (int)layers, (int)all);
        return mp_const_false;
    }
    kpu_check(maix_kpu_set_layers(net->model, layers <= 0 ? 0 : (uint32_t)layers));
    return mp_const_true;
}
static MP_DEFINE_CONST_FUN_OBJ_2(module_set_layers_obj, module_set_layers);

static MP_DEFINE_CONST_FUN_OBJ_1(module_netinfo_obj, kpu_netinfo);
static MP_DEFINE_CONST_FUN_OBJ_KW(module_init_yolo2_obj, 1, kpu_init_yolo2);
static MP_DEFINE_CONST_FUN_OBJ_KW(module_init_yolo3_obj, 1, kpu_init_yolo3);
static MP_DEFINE_CONST_FUN_OBJ_KW(module_run_yolo2_obj, 2, kpu_run_yolo2);

// ---- feature maps ---------------------------------------------------------------------------

// fmap(feature_map, channel) -> grayscale image
static mp_obj_t module_fmap(mp_obj_t fmap, mp_obj_t channel) {
    return kpu_fmap_channel(fmap, mp_obj_get_int(channel));
}
static MP_DEFINE_CONST_FUN_OBJ_2(module_fmap_obj, module_fmap);

// fmap_free(anything): the collector frees feature maps; this is for scripts that call it.
static mp_obj_t module_fmap_free(mp_obj_t fmap) {
    (void)fmap;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_fmap_free_obj, module_fmap_free);

// memtest() -> (bytes free of Python's heap, bytes free of the system's)
static mp_obj_t module_memtest(void) {
    gc_info_t info;
    gc_info(&info);
    size_t heap = info.free, system = kpu_port_free_memory();
    mp_printf(&mp_plat_print, "###free gc heap memory : %u KB\n", (unsigned)(heap / 1024));
    mp_printf(&mp_plat_print, "###free sys heap memory: %u KB\n", (unsigned)(system / 1024));
    mp_obj_t pair[2] = {mp_obj_new_int_from_uint(heap), mp_obj_new_int_from_uint(system)};
    return mp_obj_new_tuple(2, pair);
}
static MP_DEFINE_CONST_FUN_OBJ_0(module_memtest_obj, module_memtest);

// ---- faces ----------------------------------------------------------------------------------

// face_encode(feature) -> bytearray, one signed byte a value
static mp_obj_t module_face_encode(mp_obj_t feature) {
    size_t count;
    size_t fmap_count;
    const float *values = kpu_fmap_values(feature, &fmap_count);
    if (values != NULL) {
        count = fmap_count;
    } else {
        mp_obj_t *items;
        mp_obj_get_array(feature, &count, &items);
        values = kpu_floats(feature, &count);
    }
    int8_t *code = m_new(int8_t, count);
    kpu_check(maix_kpu_face_encode(values, code, count));
    return mp_obj_new_bytearray(count, code);
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_face_encode_obj, module_face_encode);

// face_compare(code, code) -> 0 (opposite) to 100 (alike)
static mp_obj_t module_face_compare(mp_obj_t a_in, mp_obj_t b_in) {
    mp_buffer_info_t a, b;
    mp_get_buffer_raise(a_in, &a, MP_BUFFER_READ);
    mp_get_buffer_raise(b_in, &b, MP_BUFFER_READ);
    if (a.len != b.len) {
        kpu_raise_text(&mp_type_ValueError, "compare feature must in same dim!\r\n");
    }
    float likeness;
    kpu_check(maix_kpu_face_compare(a.buf, a.len, b.buf, b.len, &likeness));
    return mp_obj_new_float(likeness);
}
static MP_DEFINE_CONST_FUN_OBJ_2(module_face_compare_obj, module_face_compare);

// ---- the module -----------------------------------------------------------------------------

static const mp_rom_map_elem_t names[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_kpu)},
    {MP_ROM_QSTR(MP_QSTR_load), MP_ROM_PTR(&module_load_obj)},
    {MP_ROM_QSTR(MP_QSTR_load_flash), MP_ROM_PTR(&module_load_flash_obj)},
    {MP_ROM_QSTR(MP_QSTR_deinit), MP_ROM_PTR(&module_deinit_obj)},
    {MP_ROM_QSTR(MP_QSTR_set_outputs), MP_ROM_PTR(&module_set_outputs_obj)},
    {MP_ROM_QSTR(MP_QSTR_forward), MP_ROM_PTR(&module_forward_obj)},
    {MP_ROM_QSTR(MP_QSTR_get_output), MP_ROM_PTR(&module_get_output_obj)},
    {MP_ROM_QSTR(MP_QSTR_set_layers), MP_ROM_PTR(&module_set_layers_obj)},
    {MP_ROM_QSTR(MP_QSTR_netinfo), MP_ROM_PTR(&module_netinfo_obj)},
    {MP_ROM_QSTR(MP_QSTR_init_yolo2), MP_ROM_PTR(&module_init_yolo2_obj)},
    {MP_ROM_QSTR(MP_QSTR_run_yolo2), MP_ROM_PTR(&module_run_yolo2_obj)},
    {MP_ROM_QSTR(MP_QSTR_init_yolo3), MP_ROM_PTR(&module_init_yolo3_obj)},
    {MP_ROM_QSTR(MP_QSTR_run_yolo3), MP_ROM_PTR(&module_run_yolo2_obj)},
    {MP_ROM_QSTR(MP_QSTR_fmap), MP_ROM_PTR(&module_fmap_obj)},
    {MP_ROM_QSTR(MP_QSTR_fmap_free), MP_ROM_PTR(&module_fmap_free_obj)},
    {MP_ROM_QSTR(MP_QSTR_memtest), MP_ROM_PTR(&module_memtest_obj)},
    {MP_ROM_QSTR(MP_QSTR_face_encode), MP_ROM_PTR(&module_face_encode_obj)},
    {MP_ROM_QSTR(MP_QSTR_face_compare), MP_ROM_PTR(&module_face_compare_obj)},
    {MP_ROM_QSTR(MP_QSTR_classifier), MP_ROM_PTR(&kpu_classifier_type)},
};
static MP_DEFINE_CONST_DICT(names_dict, names);

const mp_obj_module_t kpu_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&names_dict,
};

COMPAT_REGISTER_MODULE(MP_QSTR_KPU, kpu_module);
