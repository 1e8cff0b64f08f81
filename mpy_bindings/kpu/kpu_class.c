// `from maix import KPU`: CanMV's class.

#include <string.h>

#include "kpu_objects.h"
#include "kpu_image.h"
#include "py/mperrno.h"
#include "py/runtime.h"
#include "py/stream.h"

// Values of a feature at most.
#define MOST_FEATURES 256

typedef struct {
    mp_obj_base_t base;
    kpu_net_obj_t *net; // NULL: nothing is loaded
    size_t size, inputs, outputs; // of the last model; they stay after deinit
    bool has_run;
    maix_kpu_yolo_t *yolo;
    mp_uint_t picture_w, picture_h, net_w, net_h;
    void *plate_weights; // outside of Python's heap, or NULL
    size_t plate_bytes; // 0: none are loaded
} kpu_class_obj_t;

static mp_obj_t class_make_new(const mp_obj_type_t *type, size_t count, size_t named, const mp_obj_t *arguments) {
    (void)count;
    (void)named;
    (void)arguments;
    kpu_start();
    kpu_class_obj_t *self = mp_obj_malloc_with_finaliser(kpu_class_obj_t, type);
    self->net = NULL;
    self->size = self->inputs = self->outputs = 0;
    self->has_run = false;
    self->yolo = NULL;
    self->plate_weights = NULL;
    self->plate_bytes = 0;
    return MP_OBJ_FROM_PTR(self);
}

static kpu_class_obj_t *loaded(mp_obj_t self_in) {
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->net == NULL) {
        kpu_raise_text(&mp_type_OSError, "Model Buffer maybe dirty! No model is loaded: load_kmodel(path) or load_kmodel(address) first");
    }
    return self;
}

// ---- loading --------------------------------------------------------------------------------

static mp_obj_t open_file(mp_obj_t path) {
    mp_obj_t file = kpu_file_open(path, MP_QSTR_rb);
    if (file == MP_OBJ_NULL) {
        kpu_raise_text(&mp_type_ValueError, "open file error, please check file path!");
    }
    return file;
}

// Reads a whole file and closes it.
static void read_file(mp_obj_t file, void *bytes, size_t length) {
    bool done = kpu_file_read(&file, 0, bytes, length);
    mp_stream_close(file);
    if (!done) {
        mp_raise_OSError(MP_EIO);
    }
}

// The first argument of a load: a path, or an address above 0.
static void check_place(mp_obj_t from) {
    if (from == mp_const_none) {
        kpu_raise_text(&mp_type_ValueError, "invalid path input");
    }
    if (!mp_obj_is_str(from) && (!mp_obj_is_int(from) || mp_obj_get_int(from) <= 0)) {
        kpu_raise_text(&mp_type_ValueError, "path error!");
    }
}

static void load(kpu_class_obj_t *self, mp_obj_t from) {
    kpu_net_obj_t *net = kpu_net_new();
    net->quiet = true;
    if (mp_obj_is_str(from)) {
        mp_obj_t file = open_file(from);
        self->size = kpu_file_size(file);
        mp_printf(&mp_plat_print, "model size %u \n", (unsigned)self->size);
        kpu_check_as(&mp_type_OSError, "Failed to init model: ", kpu_net_open_file(net, file));
    } else {
        int code = maix_kpu_open_flash((uint32_t)mp_obj_get_int(from), false, &net->model);
        kpu_check_as(&mp_type_OSError, "Failed to init model: ", code);
        self->size = kpu_net_info(net).file_bytes;
    }
    if (self->net != NULL) {
        kpu_net_free(self->net);
    }
    self->net = net;
    self->has_run = false;
    maix_kpu_info_t info = kpu_net_info(net);
    self->inputs = info.version == 3 ? 0 : info.inputs; // as the original counts
    self->outputs = info.outputs;
    mp_print_str(&mp_plat_print, "model load succeed\n");
}

// load_kmodel(path) or load_kmodel(address[, size])
static mp_obj_t class_load_kmodel(size_t count, const mp_obj_t *arguments) {
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(arguments[0]);
    check_place(arguments[1]);
    mp_int_t size = count > 2 ? mp_obj_get_int(arguments[2]) : 1;
    if (size <= 0) {
        kpu_raise_text(&mp_type_ValueError, "size error!");
    }
    load(self, arguments[1]);
    if (count > 2 && !mp_obj_is_str(arguments[1])) {
        self->size = (size_t)size;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(class_load_kmodel_obj, 2, 3, class_load_kmodel);

static void free_plate(kpu_class_obj_t *self) {
    kpu_release(self->plate_weights);
    self->plate_weights = NULL;
    self->plate_bytes = 0;
}

// Gives back what is held beside the model.
static void free_helpers(kpu_class_obj_t *self) {
    maix_kpu_yolo_close(self->yolo);
    self->yolo = NULL;
    free_plate(self);
}

static mp_obj_t class_deinit(mp_obj_t self_in) {
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(self_in);
    free_helpers(self);
    if (self->net == NULL) {
        return mp_const_false;
    }
    kpu_net_free(self->net);
    self->net = NULL;
    mp_print_str(&mp_plat_print, "free kpu model buf succeed\n");
    return mp_const_true;
}
static MP_DEFINE_CONST_FUN_OBJ_1(class_deinit_obj, class_deinit);

static mp_obj_t class_del(mp_obj_t self_in) {
    free_helpers(MP_OBJ_TO_PTR(self_in));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(class_del_obj, class_del);

// ---- running --------------------------------------------------------------------------------

static void run(kpu_class_obj_t *self, mp_obj_t input) {
    kpu_image_t image;
    if (mp_obj_is_str(input)) {
        mp_obj_t file = open_file(input);
        size_t length = kpu_file_size(file);
        uint8_t *bytes = m_new(uint8_t, length);
        read_file(file, bytes, length);
        maix_kpu_data_t data = {.format = MAIX_KPU_RAW, .bytes = bytes, .length = length};
        kpu_check_as(&mp_type_ValueError, "", maix_kpu_forward(self->net->model, &data, 1, NULL, NULL, -1));
    } else if (kpu_image_get(input, &image)) {
        kpu_run_t how = {mp_const_none, mp_const_none, mp_const_none, -1, NULL};
        kpu_net_run(self->net, input, &how);
    } else {
        kpu_raise_text(&mp_type_ValueError, "invalid input: give an image, or the path of a file with the input's bytes");
    }
    self->has_run = true;
}

static mp_obj_t floats_list(const float *values, size_t count) {
    mp_obj_t list = mp_obj_new_list(count, NULL);
    size_t length;
    mp_obj_t *items;
    mp_obj_list_get(list, &length, &items);
    for (size_t i = 0; i < length; i++) {
        items[i] = mp_obj_new_float(values[i]);
    }
    return list;
}

// run_with_output(img | path, getlist=False, get_feature=False) -> None or a list
static mp_obj_t class_run_with_output(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    enum { ARG_input, ARG_getlist, ARG_get_feature, ARGUMENTS };
    static const mp_arg_t allowed[ARGUMENTS] = {
        {MP_QSTR_input, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_getlist, MP_ARG_BOOL, {.u_bool = false}},
        {MP_QSTR_get_feature, MP_ARG_BOOL, {.u_bool = false}},
    };
    mp_arg_val_t values[ARGUMENTS];
    mp_arg_parse_all(count - 1, arguments + 1, named, ARGUMENTS, allowed, values);
    kpu_class_obj_t *self = loaded(arguments[0]);
    run(self, values[ARG_input].u_obj);
    size_t length;
    if (values[ARG_getlist].u_bool) {
        const float *scores = kpu_net_floats(self->net, 0, &length);
        return floats_list(scores, length);
    }
    if (values[ARG_get_feature].u_bool) {
        const float *values = kpu_net_floats(self->net, 0, &length);
        length = length < MOST_FEATURES ? length : MOST_FEATURES;
        float feature[MOST_FEATURES];
        memcpy(feature, values, length * sizeof(float));
        maix_kpu_feature_normalize(feature, length);
        return floats_list(feature, length);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(class_run_with_output_obj, 2, class_run_with_output);

// load(path | address), run(img), get_outputs(): the newer scripts' form.
static mp_obj_t class_load(mp_obj_t self_in, mp_obj_t from) {
    check_place(from);
    load(MP_OBJ_TO_PTR(self_in), from);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(class_load_obj, class_load);

static mp_obj_t class_run(mp_obj_t self_in, mp_obj_t input) {
    run(loaded(self_in), input);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(class_run_obj, class_run);

static kpu_class_obj_t *with_outputs(mp_obj_t self_in) {
    kpu_class_obj_t *self = loaded(self_in);
    if (!self->has_run) {
        kpu_raise_text(&mp_type_OSError, "the model has not run yet: run_with_output(img) first");
    }
    return self;
}

static mp_obj_t class_get_outputs(mp_obj_t self_in) {
    kpu_class_obj_t *self = with_outputs(self_in);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (uint32_t i = 0; i < self->outputs; i++) {
        size_t length;
        const float *values = kpu_net_floats(self->net, i, &length);
        mp_obj_list_append(list, floats_list(values, length));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_1(class_get_outputs_obj, class_get_outputs);

// ---- YOLOv2 ---------------------------------------------------------------------------------

static mp_obj_t class_init_yolo2(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    enum {
        ARG_anchor, ARG_anchor_num, ARG_img_w, ARG_img_h, ARG_net_w, ARG_net_h, ARG_layer_w,
        ARG_layer_h, ARG_threshold, ARG_nms_value, ARG_classes, ARGUMENTS,
    };
    static const mp_arg_t allowed[ARGUMENTS] = {
        {MP_QSTR_anchor, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
        {MP_QSTR_anchor_num, MP_ARG_INT, {.u_int = 5}},
        {MP_QSTR_img_w, MP_ARG_INT, {.u_int = 320}},
        {MP_QSTR_img_h, MP_ARG_INT, {.u_int = 240}},
        {MP_QSTR_net_w, MP_ARG_INT, {.u_int = 320}},
        {MP_QSTR_net_h, MP_ARG_INT, {.u_int = 240}},
        {MP_QSTR_layer_w, MP_ARG_INT, {.u_int = 10}},
        {MP_QSTR_layer_h, MP_ARG_INT, {.u_int = 8}},
        {MP_QSTR_threshold, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_nms_value, MP_ARG_OBJ, {.u_rom_obj = MP_ROM_NONE}},
        {MP_QSTR_classes, MP_ARG_INT, {.u_int = 1}},
    };
    mp_arg_val_t values[ARGUMENTS];
    mp_arg_parse_all(count - 1, arguments + 1, named, ARGUMENTS, allowed, values);
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(arguments[0]);
    if (values[ARG_anchor].u_obj == mp_const_none) {
        kpu_raise_text(&mp_type_ValueError, "need input anchor");
    }
    for (size_t i = ARG_anchor_num; i <= ARG_classes; i++) {
        bool number = i != ARG_threshold && i != ARG_nms_value;
        if (number && values[i].u_int < (i == ARG_classes ? 0 : 1)) {
            mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%q cannot be %d"), allowed[i].qst, (int)values[i].u_int);
        }
    }
    size_t length, anchor_count = (size_t)values[ARG_anchor_num].u_int;
    mp_obj_t *items;
    mp_obj_get_array(values[ARG_anchor].u_obj, &length, &items);
    if (length < anchor_count * 2) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("anchor has %d numbers, anchor_num=%d needs %d"),
            (int)length, (int)anchor_count, (int)anchor_count * 2);
    }
    float *anchors = m_new(float, anchor_count * 2);
    for (size_t i = 0; i < anchor_count * 2; i++) {
        anchors[i] = mp_obj_get_float(items[i]);
    }
    mp_obj_t threshold = values[ARG_threshold].u_obj, nms = values[ARG_nms_value].u_obj;
    maix_kpu_yolo_head_t head = {
        .w = (uint32_t)values[ARG_layer_w].u_int,
        .h = (uint32_t)values[ARG_layer_h].u_int,
        .c = (uint32_t)(anchor_count * (5 + (size_t)values[ARG_classes].u_int)),
        .anchors = anchors,
        .anchor_count = anchor_count,
    };
    maix_kpu_yolo_t *yolo;
    kpu_check_as(&mp_type_ValueError, "", maix_kpu_yolo2_open(&head,
        threshold == mp_const_none ? 0.7f : mp_obj_get_float(threshold),
        nms == mp_const_none ? 0.4f : mp_obj_get_float(nms), &yolo));
    maix_kpu_yolo_close(self->yolo);
    self->yolo = yolo;
    self->picture_w = (mp_uint_t)values[ARG_img_w].u_int;
    self->picture_h = (mp_uint_t)values[ARG_img_h].u_int;
    self->net_w = (mp_uint_t)values[ARG_net_w].u_int;
    self->net_h = (mp_uint_t)values[ARG_net_h].u_int;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(class_init_yolo2_obj, 2, class_init_yolo2);

// regionlayer_yolo2() -> [[x, y, w, h, class, probability], ...] of the last run
static mp_obj_t class_regionlayer_yolo2(mp_obj_t self_in) {
    kpu_class_obj_t *self = with_outputs(self_in);
    if (self->yolo == NULL) {
        kpu_raise_text(&mp_type_OSError, "call init_yolo2(anchor, ...) first");
    }
    size_t length, found;
    const float *values = kpu_net_floats(self->net, 0, &length);
    kpu_check_as(&mp_type_ValueError, "", maix_kpu_yolo_detect(self->yolo, &values, &length, 1, &found));
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < found; i++) {
        maix_kpu_detection_t detection;
        maix_kpu_rect_t rect;
        kpu_check(maix_kpu_yolo_detection(self->yolo, i, &detection));
        maix_kpu_detection_unletterbox(&detection, self->net_w, self->net_h, self->picture_w, self->picture_h);
        maix_kpu_detection_rect(&detection, self->picture_w, self->picture_h, &rect);
        mp_obj_t numbers[6] = {
            mp_obj_new_int_from_uint(rect.x), mp_obj_new_int_from_uint(rect.y),
            mp_obj_new_int_from_uint(rect.w), mp_obj_new_int_from_uint(rect.h),
            mp_obj_new_int_from_uint(detection.class_id), mp_obj_new_float(detection.probability),
        };
        mp_obj_list_append(list, mp_obj_new_list(6, numbers));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_1(class_regionlayer_yolo2_obj, class_regionlayer_yolo2);

// ---- licence plates -------------------------------------------------------------------------

// Takes memory for weights instead of the last ones.
static void *plate_memory(kpu_class_obj_t *self, size_t bytes) {
    free_plate(self);
    return self->plate_weights = kpu_allocate(bytes);
}

// lp_recog_load_weight_data(path) or (address, size)
static mp_obj_t class_lp_load(size_t count, const mp_obj_t *arguments) {
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(arguments[0]);
    if (arguments[1] == mp_const_none) {
        kpu_raise_text(&mp_type_ValueError, "path error!");
    }
    check_place(arguments[1]);
    size_t bytes;
    if (mp_obj_is_str(arguments[1])) {
        mp_obj_t file = open_file(arguments[1]);
        bytes = kpu_file_size(file);
        read_file(file, plate_memory(self, bytes), bytes);
    } else {
        mp_int_t size = count > 2 ? mp_obj_get_int(arguments[2]) : 0;
        if (size <= 0) {
            kpu_raise_text(&mp_type_ValueError, "size error!");
        }
        bytes = (size_t)size;
        kpu_read_flash((uint32_t)mp_obj_get_int(arguments[1]), plate_memory(self, bytes), bytes);
    }
    self->plate_bytes = bytes;
    mp_printf(&mp_plat_print, "weight_data_size: %u\n", (unsigned)bytes);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(class_lp_load_obj, 2, 3, class_lp_load);

// lp_recog() -> scores of the seven characters: tuples of 31, 24 and five of 34
static mp_obj_t class_lp_recog(mp_obj_t self_in) {
    static const size_t classes[7] = {31, 24, 34, 34, 34, 34, 34};
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->plate_bytes == 0) {
        kpu_raise_text(&mp_type_OSError, "not find lp weight data, please load");
    }
    size_t length;
    const float *features = kpu_net_floats(with_outputs(self_in)->net, 0, &length);
    float scores[MAIX_KPU_PLATE_SCORES];
    kpu_check_as(&mp_type_ValueError, "", maix_kpu_plate(features, length, self->plate_weights, self->plate_bytes, scores));
    mp_obj_t list = mp_obj_new_list(0, NULL);
    const float *score = scores;
    for (size_t head = 0; head < MP_ARRAY_SIZE(classes); head++) {
        mp_obj_tuple_t *tuple = MP_OBJ_TO_PTR(mp_obj_new_tuple(classes[head], NULL));
        for (size_t i = 0; i < classes[head]; i++) {
            tuple->items[i] = mp_obj_new_float(*score++);
        }
        mp_obj_list_append(list, MP_OBJ_FROM_PTR(tuple));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_1(class_lp_recog_obj, class_lp_recog);

// ---- helpers, of the class and of its objects -------------------------------------------------

// The arguments without the object; ValueError where there are not `wanted`.
static const mp_obj_t *helper(size_t *count, const mp_obj_t *arguments, size_t wanted, const char *complaint) {
    if (*count > 0 && mp_obj_is_type(arguments[0], &kpu_class_type)) {
        *count -= 1;
        arguments += 1;
    }
    if (*count != wanted) {
        kpu_raise_text(&mp_type_ValueError, complaint);
    }
    return arguments;
}

static mp_obj_t class_sigmoid(size_t count, const mp_obj_t *arguments) {
    arguments = helper(&count, arguments, 1, "sigmoid(x)");
    return mp_obj_new_float(maix_kpu_sigmoid(mp_obj_get_float(arguments[0])));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(class_sigmoid_function, 0, class_sigmoid);
static MP_DEFINE_CONST_STATICMETHOD_OBJ(class_sigmoid_obj, MP_ROM_PTR(&class_sigmoid_function));

static mp_obj_t class_softmax(size_t count, const mp_obj_t *arguments) {
    arguments = helper(&count, arguments, 1, "softmax(list)");
    size_t length;
    float *scores = kpu_floats(arguments[0], &length);
    maix_kpu_softmax(scores, length);
    return floats_list(scores, length);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(class_softmax_function, 0, class_softmax);
static MP_DEFINE_CONST_STATICMETHOD_OBJ(class_softmax_obj, MP_ROM_PTR(&class_softmax_function));

static mp_obj_t class_feature_compare(size_t count, const mp_obj_t *arguments) {
    arguments = helper(&count, arguments, 2, "need input 2 feature");
    size_t a_count, b_count;
    const float *a = kpu_floats(arguments[0], &a_count), *b = kpu_floats(arguments[1], &b_count);
    if (a_count != b_count) {
        kpu_raise_text(&mp_type_ValueError, "feature len error");
    }
    float likeness;
    kpu_check(maix_kpu_feature_compare(a, a_count, b, b_count, &likeness));
    return mp_obj_new_float(likeness);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR(class_feature_compare_function, 0, class_feature_compare);
static MP_DEFINE_CONST_STATICMETHOD_OBJ(class_feature_compare_obj, MP_ROM_PTR(&class_feature_compare_function));

// ---- the type -------------------------------------------------------------------------------

static void class_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)kind;
    kpu_class_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "type        : kmodel (KPU) \nmodel_size  : %u\ninputs      : %u\noutputs     : %u\n",
        (unsigned)self->size, (unsigned)self->inputs, (unsigned)self->outputs);
}

static const mp_rom_map_elem_t class_names[] = {
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&class_del_obj)},
    {MP_ROM_QSTR(MP_QSTR_load_kmodel), MP_ROM_PTR(&class_load_kmodel_obj)},
    {MP_ROM_QSTR(MP_QSTR_run_with_output), MP_ROM_PTR(&class_run_with_output_obj)},
    {MP_ROM_QSTR(MP_QSTR_load), MP_ROM_PTR(&class_load_obj)},
    {MP_ROM_QSTR(MP_QSTR_run), MP_ROM_PTR(&class_run_obj)},
    {MP_ROM_QSTR(MP_QSTR_get_outputs), MP_ROM_PTR(&class_get_outputs_obj)},
    {MP_ROM_QSTR(MP_QSTR_init_yolo2), MP_ROM_PTR(&class_init_yolo2_obj)},
    {MP_ROM_QSTR(MP_QSTR_regionlayer_yolo2), MP_ROM_PTR(&class_regionlayer_yolo2_obj)},
    {MP_ROM_QSTR(MP_QSTR_lp_recog_load_weight_data), MP_ROM_PTR(&class_lp_load_obj)},
    {MP_ROM_QSTR(MP_QSTR_lp_recog), MP_ROM_PTR(&class_lp_recog_obj)},
    {MP_ROM_QSTR(MP_QSTR_sigmoid), MP_ROM_PTR(&class_sigmoid_obj)},
    {MP_ROM_QSTR(MP_QSTR_softmax), MP_ROM_PTR(&class_softmax_obj)},
    {MP_ROM_QSTR(MP_QSTR_feature_compare), MP_ROM_PTR(&class_feature_compare_obj)},
    {MP_ROM_QSTR(MP_QSTR_deinit), MP_ROM_PTR(&class_deinit_obj)},
};
static MP_DEFINE_CONST_DICT(class_dict, class_names);

COMPAT_TYPE(kpu_class_type, MP_QSTR_KPU,
    COMPAT_SLOT(make_new, class_make_new)
    COMPAT_SLOT(print, class_print)
    COMPAT_SLOT(locals_dict, &class_dict));
