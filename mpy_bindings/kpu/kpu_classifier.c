// `classifier`: learns from few pictures, by the features of a model.

#include <string.h>

#include "kpu_objects.h"
#include "kpu_image.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "py/stream.h"

// Values of a feature where the script does not say.
#define USUAL_FEATURE 768

typedef struct {
    mp_obj_base_t base;
    maix_kpu_learner_t *classifier; // NULL once freed
    kpu_net_obj_t *net;
} kpu_classifier_obj_t;

static kpu_classifier_obj_t *classifier_get(mp_obj_t self_in) {
    kpu_classifier_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->classifier == NULL) {
        mp_raise_OSError(MP_EINVAL);
    }
    return self;
}

static void check(int code) {
    kpu_check_as(&mp_type_OSError, "[MAIXPY]kpu: classifier error:", code);
}

// The feature that the model gives of a picture.
static const float *feature(const kpu_classifier_obj_t *self, mp_obj_t image, size_t *count) {
    kpu_run_t how = {mp_const_none, mp_const_none, mp_const_none, -1, NULL};
    kpu_net_run(self->net, image, &how);
    return kpu_net_floats(self->net, 0, count);
}

static mp_obj_t classifier_new(kpu_net_obj_t *net, maix_kpu_capacity_t room) {
    kpu_classifier_obj_t *self = mp_obj_malloc_with_finaliser(kpu_classifier_obj_t, &kpu_classifier_type);
    self->classifier = NULL;
    self->net = net;
    check(maix_kpu_learner_open(&room, &self->classifier));
    return MP_OBJ_FROM_PTR(self);
}

// The length of features: as asked for, else what the model gives, 768 at most.
static size_t feature_length(const kpu_net_obj_t *net, mp_int_t asked) {
    maix_kpu_tensor_t output;
    kpu_check(maix_kpu_output(net->model, 0, &output));
    size_t count = output.bytes / (output.dtype == MAIX_KPU_F32 ? sizeof(float) : 1);
    if (asked > 0) {
        return (size_t)asked;
    }
    return count < USUAL_FEATURE ? count : USUAL_FEATURE;
}

static size_t natural(mp_int_t value, const char *what) {
    if (value < 0) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("[MAIXPY]kpu: %s is %d, but cannot be negative"), what, (int)value);
    }
    return (size_t)value;
}

// classifier(task, class_num, sample_num, fea_len=0)
static mp_obj_t classifier_make_new(const mp_obj_type_t *type, size_t count, size_t named_count, const mp_obj_t *arguments) {
    (void)type;
    enum { ARG_net, ARG_classes, ARG_samples, ARG_feature, ARGUMENTS };
    static const mp_arg_t allowed[ARGUMENTS] = {
        {MP_QSTR_model, MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_class_num, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_sample_num, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_fea_len, MP_ARG_INT, {.u_int = 0}},
    };
    mp_arg_val_t values[ARGUMENTS];
    if (count < 3) {
        kpu_raise_text(&mp_type_ValueError, "model, class num, sample num");
    }
    mp_map_t named;
    mp_map_init_fixed_table(&named, named_count, arguments + count);
    mp_arg_parse_all(count, arguments, &named, ARGUMENTS, allowed, values);
    kpu_net_obj_t *net = kpu_net_open(values[ARG_net].u_obj);
    maix_kpu_capacity_t room = {
        natural(values[ARG_classes].u_int, "class_num"),
        natural(values[ARG_samples].u_int, "sample_num"),
        feature_length(net, (mp_int_t)natural(values[ARG_feature].u_int, "fea_len")),
    };
    return classifier_new(net, room);
}

// ---- learning -------------------------------------------------------------------------------

// add_class_img(img[, index]) -> index
static mp_obj_t classifier_add_class(size_t count, const mp_obj_t *arguments) {
    kpu_classifier_obj_t *self = classifier_get(arguments[0]);
    int place = -1;
    if (count > 2 && arguments[2] != mp_const_none) {
        place = (int)natural(mp_obj_get_int(arguments[2]), "the class");
    }
    size_t length, index;
    const float *values = feature(self, arguments[1], &length);
    check(maix_kpu_learner_add_class(self->classifier, values, length, place, &index));
    return mp_obj_new_int_from_uint(index);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(classifier_add_class_obj, 2, 3, classifier_add_class);

// add_sample_img(img) -> number of the sample
static mp_obj_t classifier_add_sample(mp_obj_t self_in, mp_obj_t image) {
    kpu_classifier_obj_t *self = classifier_get(self_in);
    size_t length, index;
    const float *values = feature(self, image, &length);
    check(maix_kpu_learner_add_sample(self->classifier, values, length, &index));
    return mp_obj_new_int_from_uint(index);
}
static MP_DEFINE_CONST_FUN_OBJ_2(classifier_add_sample_obj, classifier_add_sample);

// rm_class_img() and rm_sample_img() -> how many are left
static mp_obj_t classifier_rm_class(mp_obj_t self_in) {
    size_t left;
    check(maix_kpu_learner_remove_class(classifier_get(self_in)->classifier, &left));
    return mp_obj_new_int_from_uint(left);
}
static MP_DEFINE_CONST_FUN_OBJ_1(classifier_rm_class_obj, classifier_rm_class);

static mp_obj_t classifier_rm_sample(mp_obj_t self_in) {
    size_t left;
    check(maix_kpu_learner_remove_sample(classifier_get(self_in)->classifier, &left));
    return mp_obj_new_int_from_uint(left);
}
static MP_DEFINE_CONST_FUN_OBJ_1(classifier_rm_sample_obj, classifier_rm_sample);

static mp_obj_t classifier_train(mp_obj_t self_in) {
    check(maix_kpu_learner_train(classifier_get(self_in)->classifier));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(classifier_train_obj, classifier_train);

// predict(img) -> (class, distance); (0, 3.402823e+38) while there is no class, as the original.
static mp_obj_t classifier_predict(mp_obj_t self_in, mp_obj_t image) {
    kpu_classifier_obj_t *self = classifier_get(self_in);
    size_t length;
    const float *values = feature(self, image, &length);
    int index;
    float distance;
    check(maix_kpu_learner_predict(self->classifier, values, length, &index, &distance));
    mp_obj_t pair[2] = {mp_obj_new_int(index < 0 ? 0 : index), mp_obj_new_float(distance)};
    return mp_obj_new_tuple(2, pair);
}
static MP_DEFINE_CONST_FUN_OBJ_2(classifier_predict_obj, classifier_predict);

// ---- files ----------------------------------------------------------------------------------

static mp_obj_t open_file(mp_obj_t path, qstr mode) {
    mp_obj_t file = kpu_file_open(path, mode);
    if (file == MP_OBJ_NULL) {
        mp_raise_OSError(MP_ENOENT);
    }
    return file;
}

static bool write_file(void *context, const void *bytes, size_t length) {
    int error = 0;
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        return false;
    }
    size_t written = mp_stream_rw(*(mp_obj_t *)context, (void *)bytes, length, &error, MP_STREAM_RW_WRITE);
    nlr_pop();
    return error == 0 && written == length;
}

// save(path): byte for byte as the original does.
static mp_obj_t classifier_save(mp_obj_t self_in, mp_obj_t path) {
    kpu_classifier_obj_t *self = classifier_get(self_in);
    mp_obj_t file = open_file(path, MP_QSTR_wb);
    int code = maix_kpu_learner_save(self->classifier, true, &file, write_file);
    mp_stream_close(file);
    check(code);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(classifier_save_obj, classifier_save);

// load(task, path[, class_num, sample_num], fea_len=0) -> (classifier, class_num, sample_num)
static mp_obj_t classifier_load(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    enum { ARG_net, ARG_path, ARG_classes, ARG_samples, ARG_feature, ARGUMENTS };
    static const mp_arg_t allowed[ARGUMENTS] = {
        {MP_QSTR_model, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_path, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_class_num, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_sample_num, MP_ARG_INT, {.u_int = 0}},
        {MP_QSTR_fea_len, MP_ARG_INT, {.u_int = 0}},
    };
    mp_arg_val_t values[ARGUMENTS];
    mp_arg_parse_all(count, arguments, named, ARGUMENTS, allowed, values);
    kpu_net_obj_t *net = kpu_net_open(values[ARG_net].u_obj);

    mp_obj_t file = open_file(values[ARG_path].u_obj, MP_QSTR_rb);
    mp_obj_t read[2];
    mp_load_method(file, MP_QSTR_read, read);
    mp_buffer_info_t bytes;
    mp_get_buffer_raise(mp_call_method_n_kw(0, 0, read), &bytes, MP_BUFFER_READ);
    mp_stream_close(file);

    maix_kpu_capacity_t room;
    check(maix_kpu_learner_file(bytes.buf, bytes.len, &room));
    room.classes = values[ARG_classes].u_int > 0 ? (size_t)values[ARG_classes].u_int : room.classes;
    room.samples = values[ARG_samples].u_int > 0 ? (size_t)values[ARG_samples].u_int : room.samples;
    if (values[ARG_feature].u_int > 0 || room.feature == 0) {
        room.feature = feature_length(net, values[ARG_feature].u_int);
    }
    mp_obj_t classifier = classifier_new(net, room);
    kpu_classifier_obj_t *self = MP_OBJ_TO_PTR(classifier);
    check(maix_kpu_learner_load(self->classifier, bytes.buf, bytes.len));
    mp_obj_t result[3] = {classifier, mp_obj_new_int_from_uint(room.classes), mp_obj_new_int_from_uint(room.samples)};
    return mp_obj_new_tuple(3, result);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(classifier_load_function, 2, classifier_load);
static MP_DEFINE_CONST_STATICMETHOD_OBJ(classifier_load_obj, MP_ROM_PTR(&classifier_load_function));

// ---- the type -------------------------------------------------------------------------------

static mp_obj_t classifier_del(mp_obj_t self_in) {
    kpu_classifier_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (!kpu_quiet) {
        mp_print_str(&mp_plat_print, "classifier __del__\n");
    }
    if (self->classifier == NULL && !kpu_quiet) {
        mp_raise_OSError(MP_EINVAL);
    }
    maix_kpu_learner_close(self->classifier);
    self->classifier = NULL;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(classifier_del_obj, classifier_del);

static void classifier_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)self_in;
    (void)kind;
    mp_print_str(print, "<classifier>");
}

static const mp_rom_map_elem_t classifier_names[] = {
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&classifier_del_obj)},
    {MP_ROM_QSTR(MP_QSTR_add_class_img), MP_ROM_PTR(&classifier_add_class_obj)},
    {MP_ROM_QSTR(MP_QSTR_add_sample_img), MP_ROM_PTR(&classifier_add_sample_obj)},
    {MP_ROM_QSTR(MP_QSTR_rm_class_img), MP_ROM_PTR(&classifier_rm_class_obj)},
    {MP_ROM_QSTR(MP_QSTR_rm_sample_img), MP_ROM_PTR(&classifier_rm_sample_obj)},
    {MP_ROM_QSTR(MP_QSTR_train), MP_ROM_PTR(&classifier_train_obj)},
    {MP_ROM_QSTR(MP_QSTR_predict), MP_ROM_PTR(&classifier_predict_obj)},
    {MP_ROM_QSTR(MP_QSTR_save), MP_ROM_PTR(&classifier_save_obj)},
    {MP_ROM_QSTR(MP_QSTR_load), MP_ROM_PTR(&classifier_load_obj)},
};
static MP_DEFINE_CONST_DICT(classifier_dict, classifier_names);

COMPAT_TYPE(kpu_classifier_type, MP_QSTR_classifier,
    COMPAT_SLOT(make_new, classifier_make_new)
    COMPAT_SLOT(print, classifier_print)
    COMPAT_SLOT(locals_dict, &classifier_dict));
