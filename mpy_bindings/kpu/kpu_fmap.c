// `kpu_fmap`: an output of a model, a copy of its own.

#include <string.h>

#include "kpu_objects.h"
#include "kpu_image.h"
#include "py/binary.h"
#include "py/runtime.h"

typedef struct {
    mp_obj_base_t base;
    uint8_t *data;
    bool outside; // of Python's heap
    size_t bytes;
    uint32_t index; // of the node that wrote it
    struct kpu_shape shape;
    char typecode; // 'f' or 'B'
} kpu_fmap_obj_t;

static kpu_fmap_obj_t *fmap_get(mp_obj_t object) {
    if (!mp_obj_is_type(object, &kpu_fmap_type)) {
        kpu_raise_text(&mp_type_TypeError, "[MAIXPY]kpu: kpu_fmap type error");
    }
    return MP_OBJ_TO_PTR(object);
}

static size_t element_bytes(const kpu_fmap_obj_t *self) {
    return self->typecode == 'f' ? sizeof(float) : 1;
}

static size_t element_count(const kpu_fmap_obj_t *self) {
    return self->bytes / element_bytes(self);
}

mp_obj_t kpu_fmap_new(kpu_net_obj_t *net, uint32_t output) {
    maix_kpu_info_t info = kpu_net_info(net);
    struct kpu_shape shape;
    maix_kpu_tensor_t tensor = kpu_net_output(net, output, &shape);
    kpu_fmap_obj_t *self = mp_obj_malloc_with_finaliser(kpu_fmap_obj_t, &kpu_fmap_type);
    self->outside = false;
    self->data = m_new_maybe(uint8_t, tensor.bytes);
    if (self->data == NULL) {
        self->data = kpu_allocate(tensor.bytes);
        self->outside = true;
    }
    kpu_check(maix_kpu_read_output(net->model, output, self->data, tensor.bytes));
    self->bytes = tensor.bytes;
    self->index = info.active_nodes - 1;
    self->shape = shape;
    self->typecode = (char)tensor.dtype;
    return MP_OBJ_FROM_PTR(self);
}

static mp_obj_t fmap_del(mp_obj_t self_in) {
    kpu_fmap_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (self->outside) {
        kpu_release(self->data);
        self->outside = false;
        self->bytes = 0;
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(fmap_del_obj, fmap_del);

const float *kpu_fmap_values(mp_obj_t object, size_t *count) {
    if (!mp_obj_is_type(object, &kpu_fmap_type)) {
        return NULL;
    }
    kpu_fmap_obj_t *self = MP_OBJ_TO_PTR(object);
    *count = element_count(self);
    return self->typecode == 'f' ? (const float *)self->data : NULL;
}

static float value(const kpu_fmap_obj_t *self, size_t index) {
    return self->typecode == 'f' ? ((const float *)self->data)[index] : self->data[index];
}

static mp_obj_t item(const kpu_fmap_obj_t *self, size_t index) {
    return self->typecode == 'f' ? mp_obj_new_float(((const float *)self->data)[index])
                                 : MP_OBJ_NEW_SMALL_INT(self->data[index]);
}

static void store(kpu_fmap_obj_t *self, size_t index, mp_obj_t value) {
    if (self->typecode == 'f') {
        ((float *)self->data)[index] = mp_obj_get_float(value);
    } else {
        self->data[index] = (uint8_t)mp_obj_get_int(value);
    }
}

static mp_obj_t store_slice(kpu_fmap_obj_t *self, const mp_bound_slice_t *slice, mp_obj_t value) {
    size_t length = slice->stop - slice->start;
    if (!mp_obj_is_type(value, &mp_type_list) && !mp_obj_is_type(value, &mp_type_tuple)) {
        for (size_t i = 0; i < length; i++) {
            store(self, slice->start + i, value);
        }
        return mp_const_none;
    }
    size_t count;
    mp_obj_t *items;
    mp_obj_get_array(value, &count, &items);
    if (count != length) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("%d values for %d places"), (int)count, (int)length);
    }
    for (size_t i = 0; i < length; i++) {
        store(self, slice->start + i, items[i]);
    }
    return mp_const_none;
}

static mp_obj_t fmap_subscr(mp_obj_t self_in, mp_obj_t index, mp_obj_t value) {
    kpu_fmap_obj_t *self = MP_OBJ_TO_PTR(self_in);
    if (value == MP_OBJ_NULL) {
        return MP_OBJ_NULL; // del is not supported
    }
    size_t count = element_count(self);
    if (!mp_obj_is_type(index, &mp_type_slice)) {
        size_t place = mp_get_index(self->base.type, count, index, false);
        if (value == MP_OBJ_SENTINEL) {
            return item(self, place);
        }
        store(self, place, value);
        return mp_const_none;
    }
    mp_bound_slice_t slice;
    if (!mp_seq_get_fast_slice_indexes(count, index, &slice)) {
        kpu_raise_text(&mp_type_OSError, "only slices with step=1 (aka None) are supported");
    }
    if (slice.stop < slice.start) {
        slice.stop = slice.start;
    }
    if (value != MP_OBJ_SENTINEL) {
        return store_slice(self, &slice, value);
    }
    size_t length = slice.stop - slice.start;
    mp_obj_t *items = m_new(mp_obj_t, length);
    for (size_t i = 0; i < length; i++) {
        items[i] = item(self, slice.start + i);
    }
    return mp_obj_new_tuple(length, items);
}

static mp_obj_t fmap_unary_op(mp_unary_op_t op, mp_obj_t self_in) {
    kpu_fmap_obj_t *self = MP_OBJ_TO_PTR(self_in);
    switch (op) {
        case MP_UNARY_OP_BOOL:
            return mp_const_true;
        case MP_UNARY_OP_LEN:
            return mp_obj_new_int_from_uint(element_count(self));
        default:
            return MP_OBJ_NULL;
    }
}

static mp_int_t fmap_buffer(mp_obj_t self_in, mp_buffer_info_t *buffer, mp_uint_t flags) {
    (void)flags;
    kpu_fmap_obj_t *self = MP_OBJ_TO_PTR(self_in);
    buffer->buf = self->data;
    buffer->len = self->bytes;
    buffer->typecode = self->typecode;
    return 0;
}

static void fmap_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)kind;
    kpu_fmap_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "{\"fmap\": \"data\"=0x%lx, \"size\"=%u, \"index\": %u, \"w\": %u, \"h\": %u, \"ch\": %u, \"typecode\": %c}",
        (unsigned long)(uintptr_t)self->data, (unsigned)self->bytes, (unsigned)self->index, self->shape.w, self->shape.h,
        self->shape.ch, self->typecode);
}

// ---- a channel as an image ------------------------------------------------------------------

// Bytes are copied, floats are scaled from their least to 0 and their largest to 255.
mp_obj_t kpu_fmap_channel(mp_obj_t fmap, mp_int_t channel) {
    kpu_fmap_obj_t *self = fmap_get(fmap);
    size_t pixels = (size_t)self->shape.w * self->shape.h;
    if (channel < 0 || channel >= self->shape.ch || pixels * (size_t)(channel + 1) > element_count(self)) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("[MAIXPY]kpu: channel %d of a feature map with %d of them"),
            (int)channel, self->shape.ch);
    }
    size_t first = pixels * (size_t)channel;
    uint8_t *gray = m_new0(uint8_t, pixels);
    if (self->typecode == 'B') {
        memcpy(gray, self->data + first, pixels);
        return kpu_image_new_gray(self->shape.w, self->shape.h, gray);
    }
    float low = value(self, first), high = low;
    for (size_t i = 1; i < pixels; i++) {
        float v = value(self, first + i);
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    for (size_t i = 0; i < pixels && high > low; i++) {
        gray[i] = (uint8_t)((value(self, first + i) - low) * 255 / (high - low) + 0.5f);
    }
    return kpu_image_new_gray(self->shape.w, self->shape.h, gray);
}

// ---- scores ---------------------------------------------------------------------------------

static float *scores(const kpu_fmap_obj_t *self, size_t *count) {
    *count = element_count(self);
    float *values = m_new(float, *count);
    for (size_t i = 0; i < *count; i++) {
        values[i] = value(self, i);
    }
    return values;
}

static maix_kpu_ranked_t *rank(mp_obj_t self_in, mp_int_t wanted, size_t *found) {
    size_t count;
    float *values = scores(fmap_get(self_in), &count);
    size_t size = wanted < 0 ? 0 : (size_t)wanted < count ? (size_t)wanted : count;
    maix_kpu_ranked_t *top = m_new(maix_kpu_ranked_t, size);
    *found = maix_kpu_top(values, count, top, size);
    return top;
}

// The index of the largest value, the first of equals; ValueError where all are NaN.
static mp_obj_t fmap_argmax(mp_obj_t self_in) {
    size_t found;
    maix_kpu_ranked_t *top = rank(self_in, 1, &found);
    if (found == 0) {
        kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: the feature map has no number");
    }
    return mp_obj_new_int_from_uint(top->index);
}
static MP_DEFINE_CONST_FUN_OBJ_1(fmap_argmax_obj, fmap_argmax);

// The n largest values as (index, value), largest first.
static mp_obj_t fmap_topk(mp_obj_t self_in, mp_obj_t wanted) {
    size_t found;
    maix_kpu_ranked_t *top = rank(self_in, mp_obj_get_int(wanted), &found);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < found; i++) {
        mp_obj_t pair[2] = {mp_obj_new_int_from_uint(top[i].index), mp_obj_new_float(top[i].score)};
        mp_obj_list_append(list, mp_obj_new_tuple(2, pair));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_2(fmap_topk_obj, fmap_topk);

// The values as probabilities that sum to 1, in a list.
static mp_obj_t fmap_softmax(mp_obj_t self_in) {
    size_t count;
    float *values = scores(fmap_get(self_in), &count);
    maix_kpu_softmax(values, count);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (size_t i = 0; i < count; i++) {
        mp_obj_list_append(list, mp_obj_new_float(values[i]));
    }
    return list;
}
static MP_DEFINE_CONST_FUN_OBJ_1(fmap_softmax_obj, fmap_softmax);

// ---- the type -------------------------------------------------------------------------------

#define FIELD(name, expression) \
    static mp_obj_t fmap_##name(mp_obj_t self_in) { \
        kpu_fmap_obj_t *self = fmap_get(self_in); \
        return expression; \
    } \
    static MP_DEFINE_CONST_FUN_OBJ_1(fmap_##name##_obj, fmap_##name)

FIELD(size, mp_obj_new_int_from_uint(self->bytes));
FIELD(index, mp_obj_new_int_from_uint(self->index));
FIELD(w, MP_OBJ_NEW_SMALL_INT(self->shape.w));
FIELD(h, MP_OBJ_NEW_SMALL_INT(self->shape.h));
FIELD(ch, MP_OBJ_NEW_SMALL_INT(self->shape.ch));
FIELD(typecode, mp_obj_new_str(&self->typecode, 1));

static const mp_rom_map_elem_t fmap_names[] = {
    {MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&fmap_del_obj)},
    {MP_ROM_QSTR(MP_QSTR_size), MP_ROM_PTR(&fmap_size_obj)},
    {MP_ROM_QSTR(MP_QSTR_index), MP_ROM_PTR(&fmap_index_obj)},
    {MP_ROM_QSTR(MP_QSTR_w), MP_ROM_PTR(&fmap_w_obj)},
    {MP_ROM_QSTR(MP_QSTR_h), MP_ROM_PTR(&fmap_h_obj)},
    {MP_ROM_QSTR(MP_QSTR_ch), MP_ROM_PTR(&fmap_ch_obj)},
    {MP_ROM_QSTR(MP_QSTR_typecode), MP_ROM_PTR(&fmap_typecode_obj)},
    {MP_ROM_QSTR(MP_QSTR_argmax), MP_ROM_PTR(&fmap_argmax_obj)},
    {MP_ROM_QSTR(MP_QSTR_topk), MP_ROM_PTR(&fmap_topk_obj)},
    {MP_ROM_QSTR(MP_QSTR_softmax), MP_ROM_PTR(&fmap_softmax_obj)},
};
static MP_DEFINE_CONST_DICT(fmap_dict, fmap_names);

COMPAT_TYPE(kpu_fmap_type, MP_QSTR_kpu_fmap,
    COMPAT_SLOT(print, fmap_print)
    COMPAT_SLOT(unary_op, fmap_unary_op)
    COMPAT_SLOT(subscr, fmap_subscr)
    COMPAT_SLOT(buffer, fmap_buffer)
    COMPAT_SLOT(locals_dict, &fmap_dict));
