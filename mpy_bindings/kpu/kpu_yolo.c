// YOLO detectors: init_yolo2, init_yolo3 and what finds the objects.

#include "kpu_objects.h"
#include "kpu_image.h"
#include "py/runtime.h"

#define YOLO_OUTPUTS 8

// `kpu_yolo2`: a detector, made by init_yolo2 or init_yolo3.
typedef struct {
    mp_obj_base_t base;
    maix_kpu_yolo_t *yolo;
    float threshold, nms;
    size_t outputs; // 0: YOLOv2
    size_t anchor_count;
    float *anchors; // width, height of each
    int dma_channel;
} kpu_yolo_obj_t;

// `kpu_yolo2_find`: an object that was found.
typedef struct {
    mp_obj_base_t base;
    maix_kpu_rect_t rect;
    float value;
    uint32_t class_id, index, count;
} kpu_find_obj_t;

// ---- arguments ------------------------------------------------------------------------------

static float fraction(mp_obj_t object, const char *complaint) {
    float value = mp_obj_get_float(object);
    if (!(value >= 0 && value <= 1)) {
        kpu_raise_text(&mp_type_ValueError, complaint);
    }
    return value;
}

enum { ARG_net, ARG_threshold, ARG_nms, ARG_number, ARG_anchor, ARG_dma, ARGUMENTS };

static const mp_arg_t ALLOWED[ARGUMENTS] = {
    {MP_QSTR_kpu_net, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
    {MP_QSTR_threshold, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
    {MP_QSTR_nms_value, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
    {MP_QSTR_anchor_number, MP_ARG_REQUIRED | MP_ARG_INT, {.u_int = 0}},
    {MP_QSTR_anchor, MP_ARG_REQUIRED | MP_ARG_OBJ, {.u_obj = MP_OBJ_NULL}},
    {MP_QSTR_dma, MP_ARG_INT, {.u_int = -1}},
};

static kpu_yolo_obj_t *parse(size_t count, const mp_obj_t *arguments, mp_map_t *named, kpu_net_obj_t **net) {
    mp_arg_val_t values[ARGUMENTS];
    mp_arg_parse_all(count, arguments, named, ARGUMENTS, ALLOWED, values);
    *net = kpu_net_open(values[ARG_net].u_obj);
    kpu_yolo_obj_t *self = mp_obj_malloc_with_finaliser(kpu_yolo_obj_t, &kpu_yolo_type);
    self->yolo = NULL;
    self->threshold = fraction(values[ARG_threshold].u_obj, "[MAIXPY]kpu: threshold only support 0 to 1");
    self->nms = fraction(values[ARG_nms].u_obj, "[MAIXPY]kpu: nms_value only support 0 to 1");
    if (values[ARG_number].u_int <= 0) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: anchor_number should > 0");
    }
    self->anchor_count = (size_t)values[ARG_number].u_int;
    self->dma_channel = values[ARG_dma].u_int;
    mp_obj_t *items;
    mp_obj_get_array_fixed_n(values[ARG_anchor].u_obj, self->anchor_count * 2, &items);
    self->anchors = m_new(float, self->anchor_count * 2);
    for (size_t i = 0; i < self->anchor_count * 2; i++) {
        self->anchors[i] = mp_obj_get_float(items[i]);
    }
    return self;
}

static maix_kpu_yolo_head_t head(const kpu_net_obj_t *net, uint32_t output) {
    struct kpu_shape shape;
    kpu_net_output(net, output, &shape);
    maix_kpu_yolo_head_t head = {.w = shape.w, .h = shape.h, .c = shape.ch};
    return head;
}

// init_yolo2(task, threshold, nms_value, anchor_number, anchor, dma=-1): anchors in cells.
mp_obj_t kpu_init_yolo2(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    kpu_net_obj_t *net;
    kpu_yolo_obj_t *self = parse(count, arguments, named, &net);
    self->outputs = 0;
    maix_kpu_yolo_head_t output = head(net, 0);
    output.anchors = self->anchors;
    output.anchor_count = self->anchor_count;
    kpu_check_as(&mp_type_ValueError, "[MAIXPY]kpu: init_yolo2 error:",
        maix_kpu_yolo2_open(&output, self->threshold, self->nms, &self->yolo));
    net->yolo = MP_OBJ_FROM_PTR(self);
    return mp_const_true;
}

// init_yolo3(task, threshold, nms_value, anchor_number, anchor, dma=-1): anchors in pixels of the
// model's input, those of the first output first.
mp_obj_t kpu_init_yolo3(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    kpu_net_obj_t *net;
    kpu_yolo_obj_t *self = parse(count, arguments, named, &net);
    self->outputs = kpu_net_info(net).outputs;
    if (self->outputs > YOLO_OUTPUTS || self->anchor_count % self->outputs != 0) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("[MAIXPY]kpu: %d anchors do not divide into %d outputs"),
            (int)self->anchor_count, (int)self->outputs);
    }
    size_t each = self->anchor_count / self->outputs;
    maix_kpu_yolo_head_t heads[YOLO_OUTPUTS];
    for (size_t i = 0; i < self->outputs; i++) {
        heads[i] = head(net, (uint32_t)i);
        heads[i].anchors = self->anchors + i * each * 2;
        heads[i].anchor_count = each;
    }
    maix_kpu_tensor_t input;
    kpu_check(maix_kpu_input(net->model, 0, &input));
    kpu_check_as(&mp_type_ValueError, "[MAIXPY]kpu: init_yolo3 error:",
        maix_kpu_yolo3_open(heads, self->outputs, input.w, input.h, self->threshold, self->nms, &self->yolo));
    net->yolo = MP_OBJ_FROM_PTR(self);
    return mp_const_true;
}

// ---- finding --------------------------------------------------------------------------------

// run_yolo2(task, img), also run_yolo3: None, or the objects in pixels of the image.
mp_obj_t kpu_run_yolo2(size_t count, const mp_obj_t *arguments, mp_map_t *named) {
    (void)named;
    kpu_net_obj_t *net = kpu_net_open(arguments[0]);
    kpu_image_t image;
    if (count < 2 || !kpu_image_get(arguments[1], &image)) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: run_yolo2 needs an image: kpu.run_yolo2(task, img)");
    }
    if (!mp_obj_is_type(net->yolo, &kpu_yolo_type)) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: call kpu.init_yolo2(task, threshold, nms_value, anchor_number, anchor) first");
    }
    kpu_yolo_obj_t *self = MP_OBJ_TO_PTR(net->yolo);
    kpu_run_t how = {mp_const_none, mp_const_none, mp_const_none, self->dma_channel, NULL};
    kpu_net_run(net, arguments[1], &how);

    size_t outputs = self->outputs == 0 ? 1 : self->outputs;
    const float *values[YOLO_OUTPUTS];
    size_t counts[YOLO_OUTPUTS];
    for (size_t i = 0; i < outputs; i++) {
        struct kpu_shape shape;
        if (kpu_net_output(net, (uint32_t)i, &shape).dtype != MAIX_KPU_F32) {
            kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: the model's output holds bytes, a yolo model's holds floats");
        }
        values[i] = kpu_net_floats(net, (uint32_t)i, &counts[i]);
    }
    size_t found;
    kpu_check_as(&mp_type_ValueError, "[MAIXPY]kpu: run_yolo2 error:",
        maix_kpu_yolo_detect(self->yolo, values, counts, outputs, &found));
    if (found == 0) {
        return mp_const_none;
    }
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < found; i++) {
        maix_kpu_detection_t detection;
        kpu_check(maix_kpu_yolo_detection(self->yolo, i, &detection));
        kpu_find_obj_t *find = mp_obj_malloc(kpu_find_obj_t, &kpu_yolo_find_type);
        maix_kpu_detection_rect(&detection, (uint32_t)image.width, (uint32_t)image.height, &find->rect);
        find->value = detection.probability;
        find->class_id = detection.class_id;
        find->index = (uint32_t)i;
        find->count = (uint32_t)found;
        mp_obj_list_append(list, MP_OBJ_FROM_PTR(find));
    }
    return list;
}

// ---- the types ------------------------------------------------------------------------------

static void yolo_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)kind;
    kpu_yolo_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "{\"threshold\":%f, \"nms_value\":%f, \"anchor_number\":%u, \"anchor\":\"(",
        (double)self->threshold, (double)self->nms, (unsigned)self->anchor_count);
    for (size_t i = 0; i < self->anchor_count * 2; i++) {
        mp_printf(print, i == 0 ? "%f" : ", %f", (double)self->anchors[i]);
    }
    mp_print_str(print, ")\"}");
}

static mp_obj_t yolo_del(mp_obj_t self_in) {
    kpu_yolo_obj_t *self = MP_OBJ_TO_PTR(self_in);
    maix_kpu_yolo_close(self->yolo);
    self->yolo = NULL;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(yolo_del_obj, yolo_del);

static const mp_rom_map_elem_t yolo_names[] = {
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&yolo_del_obj)},
};
static MP_DEFINE_CONST_DICT(yolo_dict, yolo_names);

COMPAT_TYPE(kpu_yolo_type, MP_QSTR_kpu_yolo2, COMPAT_SLOT(print, yolo_print) COMPAT_SLOT(locals_dict, &yolo_dict));

static void find_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)kind;
    kpu_find_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "{\"x\":%u, \"y\":%u, \"w\":%u, \"h\":%u, \"value\":%f, \"classid\":%u, \"index\":%u, \"objnum\":%u}",
        (unsigned)self->rect.x, (unsigned)self->rect.y, (unsigned)self->rect.w, (unsigned)self->rect.h,
        (double)self->value, (unsigned)self->class_id, (unsigned)self->index, (unsigned)self->count);
}

#define FIELD(name, expression) \
    static mp_obj_t find_##name(mp_obj_t self_in) { \
        kpu_find_obj_t *self = MP_OBJ_TO_PTR(self_in); \
        return expression; \
    } \
    static MP_DEFINE_CONST_FUN_OBJ_1(find_##name##_obj, find_##name)

FIELD(x, mp_obj_new_int_from_uint(self->rect.x));
FIELD(y, mp_obj_new_int_from_uint(self->rect.y));
FIELD(w, mp_obj_new_int_from_uint(self->rect.w));
FIELD(h, mp_obj_new_int_from_uint(self->rect.h));
FIELD(classid, mp_obj_new_int_from_uint(self->class_id));
FIELD(index, mp_obj_new_int_from_uint(self->index));
FIELD(value, mp_obj_new_float(self->value));
FIELD(objnum, mp_obj_new_int_from_uint(self->count));

static mp_obj_t find_rect(mp_obj_t self_in) {
    mp_obj_t rect[4] = {find_x(self_in), find_y(self_in), find_w(self_in), find_h(self_in)};
    return mp_obj_new_tuple(4, rect);
}
static MP_DEFINE_CONST_FUN_OBJ_1(find_rect_obj, find_rect);

static const mp_rom_map_elem_t find_names[] = {
    {MP_ROM_QSTR(MP_QSTR_x), MP_ROM_PTR(&find_x_obj)},
    {MP_ROM_QSTR(MP_QSTR_y), MP_ROM_PTR(&find_y_obj)},
    {MP_ROM_QSTR(MP_QSTR_w), MP_ROM_PTR(&find_w_obj)},
    {MP_ROM_QSTR(MP_QSTR_h), MP_ROM_PTR(&find_h_obj)},
    {MP_ROM_QSTR(MP_QSTR_rect), MP_ROM_PTR(&find_rect_obj)},
    {MP_ROM_QSTR(MP_QSTR_classid), MP_ROM_PTR(&find_classid_obj)},
    {MP_ROM_QSTR(MP_QSTR_index), MP_ROM_PTR(&find_index_obj)},
    {MP_ROM_QSTR(MP_QSTR_value), MP_ROM_PTR(&find_value_obj)},
    {MP_ROM_QSTR(MP_QSTR_objnum), MP_ROM_PTR(&find_objnum_obj)},
};
static MP_DEFINE_CONST_DICT(find_dict, find_names);

COMPAT_TYPE(kpu_yolo_find_type, MP_QSTR_kpu_yolo2_find,
    COMPAT_SLOT(print, find_print) COMPAT_SLOT(locals_dict, &find_dict));
