// `kpu_netinfo_find`: what netinfo tells of a layer.

#include <string.h>

#include "kpu_objects.h"
#include "py/runtime.h"

typedef struct {
    mp_obj_base_t base;
    uint32_t index;
    bool v3;
    maix_kpu_node_t node;
} kpu_netinfo_obj_t;

// The originals' names of v3 layers.
static const struct {
    uint32_t type;
    const char *name;
} V3_NAMES[] = {
    {0, "KL_INVALID"}, {1, "KL_ADD"}, {2, "KL_QUANTIZED_ADD"}, {3, "KL_GLOBAL_MAX_POOL2D"},
    {4, "KL_QUANTIZED_GLOBAL_MAX_POOL2D"}, {5, "KL_GLOBAL_AVERAGE_POOL2D"},
    {6, "KL_QUANTIZED_GLOBAL_AVERAGE_POOL2D"}, {7, "KL_MAX_POOL2D"}, {8, "KL_QUANTIZED_MAX_POOL2D"},
    {9, "KL_AVERAGE_POOL2D"}, {10, "KL_QUANTIZED_AVERAGE_POOL2D"}, {11, "KL_QUANTIZE"},
    {12, "KL_DEQUANTIZE"}, {13, "KL_REQUANTIZE"}, {14, "KL_L2_NORMALIZATION"}, {15, "KL_SOFTMAX"},
    {16, "KL_CONCAT"}, {17, "KL_QUANTIZED_CONCAT"}, {18, "KL_FULLY_CONNECTED"},
    {19, "KL_QUANTIZED_FULLY_CONNECTED"}, {20, "KL_TENSORFLOW_FLATTEN"},
    {21, "KL_QUANTIZED_TENSORFLOW_FLATTEN"}, {22, "KL_RESIZE_NEAREST_NEIGHBOR"},
    {23, "KL_QUANTIZED_RESIZE_NEAREST_NEIGHBOR"}, {24, "KL_CHANNELWISE_DEQUANTIZE"},
    {25, "KL_LOGISTIC"}, {10240, "KL_K210_CONV"}, {10241, "KL_K210_ADD_PADDING"},
    {10242, "KL_K210_REMOVE_PADDING"}, {10243, "KL_K210_UPLOAD"},
};

static const char *name(const kpu_netinfo_obj_t *self) {
    for (size_t i = 0; self->v3 && i < MP_ARRAY_SIZE(V3_NAMES); i++) {
        if (V3_NAMES[i].type == self->node.opcode) {
            return V3_NAMES[i].name;
        }
    }
    return self->node.name;
}

// netinfo(task): prints the layers that run, and gives them as a list.
mp_obj_t kpu_netinfo(mp_obj_t task) {
    if (!mp_obj_is_type(task, &kpu_net_type) || ((kpu_net_obj_t *)MP_OBJ_TO_PTR(task))->model == NULL) {
        kpu_raise_text(&mp_type_ValueError, "get layer num error!");
    }
    kpu_net_obj_t *net = MP_OBJ_TO_PTR(task);
    maix_kpu_info_t info = kpu_net_info(net);
    mp_obj_t list = mp_obj_new_list(0, NULL);
    for (uint32_t i = 0; i < info.active_nodes; i++) {
        kpu_netinfo_obj_t *self = mp_obj_malloc(kpu_netinfo_obj_t, &kpu_netinfo_type);
        self->index = i;
        self->v3 = info.version == 3;
        kpu_check(maix_kpu_node(net->model, i, &self->node));
        if (!self->node.on_kpu) {
            self->node.para_size = self->node.bytes;
        }
        mp_printf(&mp_plat_print, "layer[%u]: %s, %u bytes\n", (unsigned)i, name(self), (unsigned)self->node.bytes);
        mp_obj_list_append(list, MP_OBJ_FROM_PTR(self));
    }
    return list;
}

static void netinfo_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    (void)kind;
    kpu_netinfo_obj_t *self = MP_OBJ_TO_PTR(self_in);
    const maix_kpu_node_t *node = &self->node;
    mp_printf(print, "{\"index\":%u, \"type\":%s, \"wi\":%u, \"hi\":%u, \"wo\":%u, \"ho\":%u, \"chi\":%u, \"cho\":%u, ",
        (unsigned)self->index, name(self), (unsigned)node->in_w, (unsigned)node->in_h, (unsigned)node->out_w,
        (unsigned)node->out_h, (unsigned)node->in_c, (unsigned)node->out_c);
    mp_printf(print, "\"dw\":%u, \"kernel_type\":%u, \"pool_type\":%u, \"para_size\":%u}",
        (unsigned)node->depthwise, (unsigned)node->kernel, (unsigned)node->pool, (unsigned)node->para_size);
}

#define FIELD(name, expression) \
    static mp_obj_t netinfo_##name(mp_obj_t self_in) { \
        kpu_netinfo_obj_t *self = MP_OBJ_TO_PTR(self_in); \
        return mp_obj_new_int_from_uint(expression); \
    } \
    static MP_DEFINE_CONST_FUN_OBJ_1(netinfo_##name##_obj, netinfo_##name)

FIELD(index, self->index);
FIELD(type, self->node.opcode);
FIELD(wi, self->node.in_w);
FIELD(hi, self->node.in_h);
FIELD(wo, self->node.out_w);
FIELD(ho, self->node.out_h);
FIELD(chi, self->node.in_c);
FIELD(cho, self->node.out_c);
FIELD(dw, self->node.depthwise);
FIELD(kernel_type, self->node.kernel);
FIELD(pool_type, self->node.pool);
FIELD(para_size, self->node.para_size);

static const mp_rom_map_elem_t netinfo_names[] = {
    {MP_ROM_QSTR(MP_QSTR_index), MP_ROM_PTR(&netinfo_index_obj)},
    {MP_ROM_QSTR(MP_QSTR_type), MP_ROM_PTR(&netinfo_type_obj)},
    {MP_ROM_QSTR(MP_QSTR_wi), MP_ROM_PTR(&netinfo_wi_obj)},
    {MP_ROM_QSTR(MP_QSTR_hi), MP_ROM_PTR(&netinfo_hi_obj)},
    {MP_ROM_QSTR(MP_QSTR_wo), MP_ROM_PTR(&netinfo_wo_obj)},
    {MP_ROM_QSTR(MP_QSTR_ho), MP_ROM_PTR(&netinfo_ho_obj)},
    {MP_ROM_QSTR(MP_QSTR_chi), MP_ROM_PTR(&netinfo_chi_obj)},
    {MP_ROM_QSTR(MP_QSTR_cho), MP_ROM_PTR(&netinfo_cho_obj)},
    {MP_ROM_QSTR(MP_QSTR_dw), MP_ROM_PTR(&netinfo_dw_obj)},
    {MP_ROM_QSTR(MP_QSTR_kernel_type), MP_ROM_PTR(&netinfo_kernel_type_obj)},
    {MP_ROM_QSTR(MP_QSTR_pool_type), MP_ROM_PTR(&netinfo_pool_type_obj)},
    {MP_ROM_QSTR(MP_QSTR_para_size), MP_ROM_PTR(&netinfo_para_size_obj)},
};
static MP_DEFINE_CONST_DICT(netinfo_dict, netinfo_names);

COMPAT_TYPE(kpu_netinfo_type, MP_QSTR_kpu_netinfo_find,
    COMPAT_SLOT(print, netinfo_print) COMPAT_SLOT(locals_dict, &netinfo_dict));
