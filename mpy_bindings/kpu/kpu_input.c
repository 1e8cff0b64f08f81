// What a script gives to a model: an image, or numbers in any form.

#include <string.h>

#include "kpu_objects.h"
#include "kpu_image.h"
#include "py/binary.h"
#include "py/runtime.h"

static float number(mp_obj_t object, float other) {
    return object == mp_const_none ? other : mp_obj_get_float(object);
}

// A copy of the elements of a buffer as floats.
static float *convert(const mp_buffer_info_t *buffer, size_t *count) {
    char code = (char)buffer->typecode;
    size_t align;
    size_t size = mp_binary_get_size('@', code, &align);
    *count = buffer->len / size;
    float *values = m_new(float, *count);
    if (code == 'f') {
        memcpy(values, buffer->buf, *count * sizeof(float));
        return values;
    }
    for (size_t i = 0; i < *count; i++) {
        values[i] = mp_obj_get_float(mp_binary_get_val_array(code, buffer->buf, i));
    }
    return values;
}

float *kpu_floats(mp_obj_t object, size_t *count) {
    mp_buffer_info_t buffer;
    if (!mp_obj_is_str(object) && mp_get_buffer(object, &buffer, MP_BUFFER_READ)) {
        return convert(&buffer, count);
    }
    mp_obj_t *items;
    mp_obj_get_array(object, count, &items);
    float *values = m_new(float, *count);
    for (size_t i = 0; i < *count; i++) {
        values[i] = mp_obj_get_float(items[i]);
    }
    return values;
}

// Bytes are pixels or values of 0 to 255, floats of an array go in as they are, others are copied.
static void describe_buffer(const mp_buffer_info_t *buffer, maix_kpu_data_t *data) {
    data->bytes = buffer->buf;
    data->length = buffer->len;
    switch (buffer->typecode & 0x7F) {
        case 0: // BYTEARRAY_TYPECODE of old versions
        case 'B':
        case 1:
            data->format = MAIX_KPU_BYTES;
            return;
        case 'f':
            if (((uintptr_t)buffer->buf & 3) == 0) {
                data->format = MAIX_KPU_FLOATS;
                return;
            }
            break;
    }
    size_t count;
    data->format = MAIX_KPU_FLOATS;
    data->bytes = convert(buffer, &count);
    data->length = count * sizeof(float);
}

static void describe_image(const kpu_image_t *image, maix_kpu_data_t *data) {
    data->width = (uint32_t)image->width;
    data->height = (uint32_t)image->height;
    size_t pixels = (size_t)image->width * (size_t)image->height;
    bool gray = image->bytes_per_pixel == 1;
    if (image->planes != NULL) {
        data->format = MAIX_KPU_PLANAR;
        data->channels = gray ? 1 : 3;
        data->bytes = image->planes;
        data->length = pixels * data->channels;
    } else {
        data->format = gray ? MAIX_KPU_GRAY : MAIX_KPU_RGB565;
        data->bytes = image->pixels;
        data->length = pixels * (size_t)image->bytes_per_pixel;
    }
}

// The calls that make an image fit.
static void advise(vstr_t *text, const kpu_image_t *image, const maix_kpu_tensor_t *input) {
    bool gray = image->bytes_per_pixel == 1;
    vstr_printf(text, "%dx%d with %d channels, the image is %dx%d with %d", (int)input->w, (int)input->h,
        (int)input->c, image->width, image->height, gray ? 1 : 3);
    if (input->c != 1 && input->c != 3) {
        return;
    }
    vstr_add_str(text, ": img = img");
    if ((uint32_t)image->width != input->w || (uint32_t)image->height != input->h) {
        vstr_printf(text, ".resize(%d, %d)", (int)input->w, (int)input->h);
    }
    if (gray != (input->c == 1)) {
        vstr_add_str(text, gray ? ".to_rgb565(1)" : ".to_grayscale(1)");
    }
}

// Refuses an image that does not fit; first says so in the original's words, unless it is quiet.
static void check_image(const kpu_net_obj_t *net, const kpu_image_t *image) {
    maix_kpu_tensor_t input;
    kpu_check(maix_kpu_input(net->model, 0, &input));
    bool gray = image->bytes_per_pixel == 1;
    const mp_print_t *print = &mp_plat_print;
    if ((uint32_t)image->width != input.w || (uint32_t)image->height != input.h) {
        if (!net->quiet) {
            mp_printf(print, "[MAIXPY]kpu: img w=%d,h=%d, but model w=%d,h=%d\n", image->width, image->height,
                (int)input.w, (int)input.h);
        }
    } else if (input.c != (gray ? 1 : 3)) {
        if (!net->quiet) {
            mp_printf(print, "[MAIXPY]kpu: %s img, but model channel=%d\n", gray ? "grayscale" : "RGB", (int)input.c);
        }
    } else {
        return;
    }
    vstr_t text;
    vstr_init(&text, 160);
    vstr_add_str(&text, net->quiet ? "The model wants " : "[MAIXPY]kpu: check img format err! The model wants ");
    advise(&text, image, &input);
    kpu_raise_text(&mp_type_ValueError, vstr_null_terminated_str(&text));
}

static void describe(const kpu_net_obj_t *net, mp_obj_t input, maix_kpu_data_t *data) {
    kpu_image_t image;
    mp_buffer_info_t buffer;
    if (kpu_image_get(input, &image)) {
        check_image(net, &image);
        describe_image(&image, data);
    } else if (!mp_obj_is_str(input) && mp_get_buffer(input, &buffer, MP_BUFFER_READ)) {
        describe_buffer(&buffer, data);
    } else if (mp_obj_is_type(input, &mp_type_list) || mp_obj_is_type(input, &mp_type_tuple)) {
        size_t count;
        data->format = MAIX_KPU_FLOATS;
        data->bytes = kpu_floats(input, &count);
        data->length = count * sizeof(float);
        if (count == 0) {
            kpu_raise_text(&mp_type_ValueError, "[MAIXPY]kpu: check input list format err!\r\n");
        }
    } else {
        kpu_raise_text(&mp_type_ValueError, "input not support");
    }
}

void kpu_net_run(kpu_net_obj_t *net, mp_obj_t input, const kpu_run_t *how) {
    uint32_t count = kpu_net_info(net).inputs;
    // A model of several inputs takes a tuple or list with one for each.
    size_t given = 1;
    mp_obj_t *inputs = &input;
    if (count > 1) {
        mp_obj_get_array(input, &given, &inputs);
    }
    maix_kpu_data_t *data = m_new0(maix_kpu_data_t, given);
    for (size_t i = 0; i < given; i++) {
        describe(net, inputs[i], &data[i]);
    }
    bool scaled = how->scale != mp_const_none || how->mean != mp_const_none || how->std != mp_const_none;
    maix_kpu_scaling_t scaling = {number(how->scale, 1), number(how->mean, 0), number(how->std, 1)};
    int code = maix_kpu_forward(net->model, data, given, scaled ? &scaling : NULL, how->trace, how->dma_channel);
    if (code != 0) {
        maix_kpu_error_t error;
        maix_kpu_last_error(&error);
        bool of_input = code == MAIX_KPU_ERROR_SIZE || code == MAIX_KPU_ERROR_PARAM;
        kpu_check_as(of_input ? &mp_type_ValueError : &mp_type_OSError, "[MAIXPY]kpu: forward error:", code);
    }
}
