// `kpu_net`: a loaded model.

#include <string.h>

#include "kpu_objects.h"
#include "py/runtime.h"
#include "py/stream.h"

bool kpu_quiet;

kpu_net_obj_t *kpu_net_new(void) {
    kpu_start();
    kpu_net_obj_t *self = mp_obj_malloc_with_finaliser(kpu_net_obj_t, &kpu_net_type);
    self->model = NULL;
    self->address = 0;
    self->path = mp_const_none;
    self->bytes = MP_OBJ_NULL;
    self->yolo = mp_const_none;
    self->size = 0;
    self->quiet = false;
    self->shape_count = 0;
    self->shapes = NULL;
    return self;
}

kpu_net_obj_t *kpu_net_get(mp_obj_t object) {
    if (!mp_obj_is_type(object, &kpu_net_type)) {
        kpu_raise_text(&mp_type_TypeError, "[MAIXPY]kpu: kpu_net type error");
    }
    return MP_OBJ_TO_PTR(object);
}

kpu_net_obj_t *kpu_net_open(mp_obj_t object) {
    kpu_net_obj_t *self = kpu_net_get(object);
    if (self->model == NULL) {
        kpu_raise_text(&mp_type_OSError, "ERR_PARAM: the model was freed by kpu.deinit; load it again with kpu.load");
    }
    return self;
}

void kpu_net_free(kpu_net_obj_t *self) {
    if (self->model != NULL) {
        kpu_check(maix_kpu_close(self->model));
        self->model = NULL;
        self->bytes = MP_OBJ_NULL;
    }
}

// ---- loading ------------------------------------------------------------------------------

int kpu_net_open_file(kpu_net_obj_t *self, mp_obj_t file) {
    int code;
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        self->size = kpu_file_size(file);
        maix_kpu_reader_t reader = {&file, self->size, kpu_file_read};
        code = maix_kpu_open_reader(&reader, false, &self->model);
        mp_stream_close(file);
        nlr_pop();
    } else {
        mp_stream_close(file);
        nlr_jump(nlr.ret_val);
    }
    return code;
}

static void load_file(kpu_net_obj_t *self, mp_obj_t path) {
    mp_obj_t file = kpu_file_open(path, MP_QSTR_rb);
    if (file == MP_OBJ_NULL) {
        mp_raise_msg_varg(&mp_type_ValueError,
            MP_ERROR_TEXT("[MAIXPY]kpu: load error:2005, ERR_READ_FILE: %s cannot be opened; check the path, and that the card is in (os.listdir('/sd'))"),
            mp_obj_str_get_str(path));
    }
    int code = kpu_net_open_file(self, file);
    kpu_check_as(&mp_type_ValueError, "[MAIXPY]kpu: load error:", code);
    self->path = path;
}

static void load_flash(kpu_net_obj_t *self, mp_obj_t from, bool stream) {
    // A number too large for any flash is an error of the library's, with its text.
    mp_int_t address = mp_obj_is_small_int(from) ? MP_OBJ_SMALL_INT_VALUE(from) : -1;
    if (!mp_obj_is_small_int(from) && mp_obj_is_true(mp_binary_op(MP_BINARY_OP_MORE, from, MP_OBJ_NEW_SMALL_INT(0)))) {
        address = UINT32_MAX;
    }
    if (address <= 0) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: model_addr must > 0 ");
    }
    if ((mp_uint_t)address > UINT32_MAX) {
        address = UINT32_MAX;
    }
    int code = maix_kpu_open_flash((uint32_t)address, stream, &self->model);
    kpu_check_as(&mp_type_ValueError, "[MAIXPY]kpu: load error:", code);
    self->address = (uint32_t)address;
    self->size = kpu_net_info(self).file_bytes;
}

static void load_bytes(kpu_net_obj_t *self, mp_obj_t from) {
    mp_buffer_info_t buffer;
    if (!mp_get_buffer(from, &buffer, MP_BUFFER_READ)) {
        kpu_raise_text(&mp_type_TypeError, "[MAIXPY]kpu: only accept int or string (a flash address or a path), or a model's bytes");
    }
    int code = maix_kpu_open_bytes(buffer.buf, buffer.len, &self->model);
    kpu_check_as(&mp_type_ValueError, "[MAIXPY]kpu: load error:", code);
    self->bytes = from;
    self->size = buffer.len;
}

void kpu_net_load(kpu_net_obj_t *self, mp_obj_t from, bool stream) {
    if (mp_obj_is_str(from)) {
        load_file(self, from);
    } else if (mp_obj_is_int(from)) {
        load_flash(self, from, stream);
    } else {
        load_bytes(self, from);
    }
    self->shape_count = kpu_net_info(self).outputs;
    self->shapes = m_new0(struct kpu_shape, self->shape_count);
}

// ---- looking ------------------------------------------------------------------------------

maix_kpu_info_t kpu_net_info(const kpu_net_obj_t *self) {
    maix_kpu_info_t info;
    kpu_check(maix_kpu_info(self->model, &info));
    return info;
}

maix_kpu_tensor_t kpu_net_output(const kpu_net_obj_t *self, uint32_t index, struct kpu_shape *shape) {
    maix_kpu_tensor_t tensor;
    kpu_check(maix_kpu_output(self->model, index, &tensor));
    const struct kpu_shape *set = index < self->shape_count ? &self->shapes[index] : NULL;
    size_t element = tensor.dtype == MAIX_KPU_F32 ? sizeof(float) : 1;
    if (set != NULL && set->set && (size_t)set->w * set->h * set->ch * element == tensor.bytes) {
        *shape = *set;
    } else {
        shape->w = (uint16_t)tensor.w;
        shape->h = (uint16_t)tensor.h;
        shape->ch = (uint16_t)(tensor.c * tensor.n);
    }
    return tensor;
}

const float *kpu_net_floats(const kpu_net_obj_t *self, uint32_t output, size_t *count) {
    maix_kpu_tensor_t tensor;
    kpu_check(maix_kpu_output(self->model, output, &tensor));
    if (tensor.dtype == MAIX_KPU_F32) {
        const void *values;
        size_t size;
        kpu_check(maix_kpu_output_bytes(self->model, output, &values, &size));
        *count = size / sizeof(float);
        return values;
    }
    uint8_t *bytes = m_new(uint8_t, tensor.bytes);
    kpu_check(maix_kpu_read_output(self->model, output, bytes, tensor.bytes));
    float *values = m_new(float, tensor.bytes);
    for (size_t i = 0; i < tensor.bytes; i++) {
        values[i] = bytes[i];
    }
    *count = tensor.bytes;
    return values;
}

static mp_obj_t describe(const maix_kpu_tensor_t *tensor) {
    mp_obj_t shape[4] = {
        mp_obj_new_int_from_uint(tensor->n), mp_obj_new_int_from_uint(tensor->c),
        mp_obj_new_int_from_uint(tensor->h), mp_obj_new_int_from_uint(tensor->w),
    };
    char dtype = (char)tensor->dtype;
    mp_obj_t pair[2] = {mp_obj_new_str(&dtype, 1), mp_obj_new_tuple(4, shape)};
    return mp_obj_new_tuple(2, pair);
}

static mp_obj_t tensors(mp_obj_t self_in, bool inputs) {
    kpu_net_obj_t *self = kpu_net_open(self_in);
    maix_kpu_info_t info = kpu_net_info(self);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (uint32_t i = 0; i < (inputs ? info.inputs : info.outputs); i++) {
        maix_kpu_tensor_t tensor;
        kpu_check((inputs ? maix_kpu_input : maix_kpu_output)(self->model, i, &tensor));
        mp_obj_list_append(list, describe(&tensor));
    }
    return list;
}

static mp_obj_t net_inputs(mp_obj_t self_in) {
    return tensors(self_in, true);
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_inputs_obj, net_inputs);

static mp_obj_t net_outputs(mp_obj_t self_in) {
    return tensors(self_in, false);
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_outputs_obj, net_outputs);

// ---- profile ------------------------------------------------------------------------------

typedef struct {
    uint64_t *microseconds;
    size_t count;
} profile_t;

static void note(void *context, uint32_t index, uint64_t microseconds, uint32_t crc) {
    (void)crc;
    profile_t *profile = context;
    if (index < profile->count) {
        profile->microseconds[index] = microseconds;
    }
}

// profile(input) -> [(operator, 'KPU' or 'CPU', microseconds), ...]: one run, timed.
static mp_obj_t net_profile(mp_obj_t self_in, mp_obj_t input) {
    kpu_net_obj_t *self = kpu_net_open(self_in);
    profile_t profile = {.count = kpu_net_info(self).active_nodes};
    profile.microseconds = m_new0(uint64_t, profile.count);
    maix_kpu_trace_t trace = {.context = &profile, .checksums = false, .node = note};
    kpu_run_t how = {mp_const_none, mp_const_none, mp_const_none, -1, &trace};
    kpu_net_run(self, input, &how);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < profile.count; i++) {
        maix_kpu_node_t node;
        kpu_check(maix_kpu_node(self->model, (uint32_t)i, &node));
        mp_obj_t row[3] = {
            mp_obj_new_str(node.name, strlen(node.name)),
            MP_OBJ_NEW_QSTR(node.on_kpu ? MP_QSTR_KPU : MP_QSTR_CPU),
            mp_obj_new_int_from_ull(profile.microseconds[i]),
        };
        mp_obj_list_append(list, mp_obj_new_tuple(3, row));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_2(net_profile_obj, net_profile);

// ---- the type -----------------------------------------------------------------------------

static mp_obj_t net_model_addr(mp_obj_t self_in) {
    uint32_t address = kpu_net_get(self_in)->address;
    return address == 0 ? mp_const_none : mp_obj_new_int_from_uint(address);
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_model_addr_obj, net_model_addr);

static mp_obj_t net_model_size(mp_obj_t self_in) {
    return mp_obj_new_int_from_uint(kpu_net_get(self_in)->size);
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_model_size_obj, net_model_size);

static mp_obj_t net_model_path(mp_obj_t self_in) {
    return kpu_net_get(self_in)->path;
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_model_path_obj, net_model_path);

static mp_obj_t net_arg(mp_obj_t self_in) {
    return kpu_net_get(self_in)->yolo;
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_arg_obj, net_arg);

static mp_obj_t net_del(mp_obj_t self_in) {
    kpu_net_obj_t *self = kpu_net_get(self_in);
    if (!self->quiet && !kpu_quiet) {
        mp_print_str(&mp_plat_print, "kpu_net __del__\n");
    }
    if (self->model != NULL && maix_kpu_close(self->model) == 0) {
        self->model = NULL;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(net_del_obj, net_del);

static mp_obj_t net_exit(size_t count, const mp_obj_t *arguments) {
    (void)count;
    kpu_net_free(kpu_net_get(arguments[0]));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(net_exit_obj, 4, 4, net_exit);

static void net_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)kind;
    kpu_net_obj_t *self = MP_OBJ_TO_PTR(self_in);
    const char *path = self->path == mp_const_none ? "(null)" : mp_obj_str_get_str(self->path);
    mp_printf(print, "{\"model_addr\": %u, \"model_size\": %u, \"model_path\": \"%s\", \"net_args\": ",
        (unsigned)self->address, (unsigned)self->size, path);
    if (self->yolo == mp_const_none) {
        mp_print_str(print, "\"(null)\"}");
    } else {
        mp_obj_print_helper(print, self->yolo, PRINT_STR);
        mp_print_str(print, "}");
    }
}

static const mp_rom_map_elem_t net_names[] = {
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&net_del_obj)},
    {MP_ROM_QSTR(MP_QSTR___enter__), MP_ROM_PTR(&mp_identity_obj)},
    {MP_ROM_QSTR(MP_QSTR___exit__), MP_ROM_PTR(&net_exit_obj)},
    {MP_ROM_QSTR(MP_QSTR_model_addr), MP_ROM_PTR(&net_model_addr_obj)},
    {MP_ROM_QSTR(MP_QSTR_model_size), MP_ROM_PTR(&net_model_size_obj)},
    {MP_ROM_QSTR(MP_QSTR_model_path), MP_ROM_PTR(&net_model_path_obj)},
    {MP_ROM_QSTR(MP_QSTR_net_arg), MP_ROM_PTR(&net_arg_obj)},
    {MP_ROM_QSTR(MP_QSTR_inputs), MP_ROM_PTR(&net_inputs_obj)},
    {MP_ROM_QSTR(MP_QSTR_outputs), MP_ROM_PTR(&net_outputs_obj)},
    {MP_ROM_QSTR(MP_QSTR_profile), MP_ROM_PTR(&net_profile_obj)},
};
static MP_DEFINE_CONST_DICT(net_dict, net_names);

COMPAT_TYPE(kpu_net_type, MP_QSTR_kpu_net, COMPAT_SLOT(print, net_print) COMPAT_SLOT(locals_dict, &net_dict));
