// Module `image`: MaixPy's Image, as far as scripts that use the KPU need it.
//
// Pixels lie on Python's heap, so that images, their bytes and feature maps can share them.

#include <string.h>

#include "py/builtin.h"
#include "py/mperrno.h"
#include "py/objstr.h"
#include "py/runtime.h"
#include "py/stream.h"

#include "image.h"
#include "kpu_objects.h"
#include "kpu_image.h"

#define DEFAULT_WIDTH 320
#define DEFAULT_HEIGHT 240

// MaixPy's numbers for `format()` and for `sensor.set_pixformat`.
#define PIXFORMAT_RGB565 2
#define PIXFORMAT_GRAYSCALE 4

#define FONT_ASCII 1
#define FONT_UTF8 2

static size_t pixel_count(const picture_t *picture) {
    return (size_t)picture->width * (size_t)picture->height;
}

static size_t byte_count(const picture_t *picture) {
    return pixel_count(picture) * (size_t)picture->bytes_per_pixel;
}

static bool is_gray(const picture_t *picture) {
    return picture->bytes_per_pixel == 1;
}

mp_obj_t image_new(picture_t picture, uint8_t *planes) {
    image_obj_t *self = mp_obj_malloc(image_obj_t, &image_type);
    self->picture = picture;
    self->planes = planes;
    return MP_OBJ_FROM_PTR(self);
}

picture_t image_allocate(int width, int height, int bytes_per_pixel) {
    if (width < 1 || height < 1 || width > 4096 || height > 4096) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("no image of %d x %d pixels is possible"), width, height);
    }
    picture_t picture = {width, height, bytes_per_pixel, NULL};
    picture.pixels = m_new0(uint8_t, byte_count(&picture));
    return picture;
}

image_obj_t *image_get(mp_obj_t object) {
    if (!mp_obj_is_type(object, &image_type)) {
        mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("an image is needed, not '%s'"), mp_obj_get_type_str(object));
    }
    return MP_OBJ_TO_PTR(object);
}

MP_NORETURN void image_raise(const char *text) {
    nlr_raise(mp_obj_new_exception_arg1(&mp_type_OSError, mp_obj_new_str(text, strlen(text))));
}

static picture_t copy_of(const picture_t *from) {
    picture_t picture = image_allocate(from->width, from->height, from->bytes_per_pixel);
    memcpy(picture.pixels, from->pixels, byte_count(&picture));
    return picture;
}

// A picture that the library made, moved to Python's heap.
static picture_t adopt(picture_t *given) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        picture_release(given);
        nlr_jump(nlr.ret_val);
    }
    picture_t picture = copy_of(given);
    nlr_pop();
    picture_release(given);
    return picture;
}

// ---- arguments ----------------------------------------------------------------------------

// The arguments of one call: by position, then by name. Names nobody asks for are ignored, as on
// the boards (scripts write `tickness=`).
typedef struct {
    size_t count;
    const mp_obj_t *values;
    mp_map_t *named;
} arguments_t;

static mp_obj_t argument(const arguments_t *arguments, size_t index, qstr name) {
    mp_map_elem_t *named = mp_map_lookup(arguments->named, MP_OBJ_NEW_QSTR(name), MP_MAP_LOOKUP);
    if (named != NULL) {
        return named->value;
    }
    return index < arguments->count ? arguments->values[index] : MP_OBJ_NULL;
}

static mp_int_t argument_int(const arguments_t *arguments, size_t index, qstr name, mp_int_t other) {
    mp_obj_t value = argument(arguments, index, name);
    return value == MP_OBJ_NULL ? other : mp_obj_get_int(value);
}

// A number that scripts may also give as a float.
static float argument_float(const arguments_t *arguments, size_t index, qstr name, float other) {
    mp_obj_t value = argument(arguments, index, name);
    return value == MP_OBJ_NULL ? other : mp_obj_get_float(value);
}

static bool argument_flag(const arguments_t *arguments, size_t index, qstr name, bool other) {
    mp_obj_t value = argument(arguments, index, name);
    return value == MP_OBJ_NULL ? other : mp_obj_is_true(value);
}

// `count` numbers from position `index` on, alone or as one tuple; the position behind them.
static size_t argument_ints(const arguments_t *arguments, size_t index, size_t count, int32_t *numbers) {
    const mp_obj_t *items = &arguments->values[index];
    size_t end = index + count;
    if (index < arguments->count && (mp_obj_is_type(items[0], &mp_type_tuple) || mp_obj_is_type(items[0], &mp_type_list))) {
        mp_obj_t *list;
        mp_obj_get_array_fixed_n(items[0], count, &list);
        items = list;
        end = index + 1;
    } else if (end > arguments->count) {
        mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("%d numbers (or one tuple of them) are needed"), (int)count);
    }
    for (size_t i = 0; i < count; i++) {
        // Box edges that scripts compute are often floats.
        numbers[i] = mp_obj_is_float(items[i]) ? (int32_t)mp_obj_get_float(items[i]) : mp_obj_get_int(items[i]);
    }
    return end;
}

static uint16_t value_of_color(mp_obj_t color, const picture_t *picture) {
    if (mp_obj_is_int(color)) {
        return mp_obj_get_int(color);
    }
    mp_obj_t *items;
    mp_obj_get_array_fixed_n(color, 3, &items);
    uint8_t rgb[3];
    for (int i = 0; i < 3; i++) {
        mp_int_t level = mp_obj_get_int(items[i]);
        rgb[i] = level < 0 ? 0 : level > 255 ? 255 : level;
    }
    return picture_value(&rgb, picture->bytes_per_pixel);
}

static uint16_t argument_color(const arguments_t *arguments, size_t index, const picture_t *picture) {
    mp_obj_t color = argument(arguments, index, MP_QSTR_color);
    return color == MP_OBJ_NULL ? 0xFFFF : value_of_color(color, picture);
}

static picture_pen_t argument_pen(const arguments_t *arguments, size_t index, const picture_t *picture, size_t fill) {
    picture_pen_t pen = {
        .value = argument_color(arguments, index, picture),
        .thickness = argument_int(arguments, index + 1, MP_QSTR_thickness, 1),
        .fill = argument_flag(arguments, fill, MP_QSTR_fill, false),
    };
    return pen;
}

// ---- pixels -------------------------------------------------------------------------------

static mp_obj_t load_pixel(const picture_t *picture, size_t index) {
    if (is_gray(picture)) {
        return MP_OBJ_NEW_SMALL_INT(picture->pixels[index]);
    }
    uint8_t rgb[3];
    picture_rgb(picture->pixels[2 * index] << 8 | picture->pixels[2 * index + 1], &rgb);
    mp_obj_t items[3];
    for (int i = 0; i < 3; i++) {
        items[i] = MP_OBJ_NEW_SMALL_INT(rgb[i]);
    }
    return mp_obj_new_tuple(3, items);
}

static void store_pixel(picture_t *picture, size_t index, mp_obj_t value) {
    if (is_gray(picture)) {
        picture->pixels[index] = mp_obj_get_int(value) & 255;
        return;
    }
    mp_obj_t *items;
    mp_obj_get_array_fixed_n(value, 3, &items);
    uint16_t stored = value_of_color(value, picture);
    picture->pixels[2 * index] = stored >> 8;
    picture->pixels[2 * index + 1] = stored & 255;
}

static mp_obj_t image_subscr(mp_obj_t self_in, mp_obj_t index, mp_obj_t value) {
    image_obj_t *self = MP_OBJ_TO_PTR(self_in);
    size_t count = pixel_count(&self->picture);
    if (value == MP_OBJ_NULL) {
        return MP_OBJ_NULL; // del is not supported
    }
    if (!mp_obj_is_type(index, &mp_type_slice)) {
        size_t place = mp_get_index(self->base.type, count, index, false);
        if (value == MP_OBJ_SENTINEL) {
            return load_pixel(&self->picture, place);
        }
        store_pixel(&self->picture, place, value);
        return mp_const_none;
    }
    mp_bound_slice_t slice;
    if (!mp_seq_get_fast_slice_indexes(count, index, &slice)) {
        mp_raise_msg(&mp_type_OSError, MP_ERROR_TEXT("only slices with step=1 (aka None) are supported"));
    }
    size_t length = slice.stop > slice.start ? slice.stop - slice.start : 0;
    if (value == MP_OBJ_SENTINEL) {
        mp_obj_tuple_t *tuple = MP_OBJ_TO_PTR(mp_obj_new_tuple(length, NULL));
        for (size_t i = 0; i < length; i++) {
            tuple->items[i] = load_pixel(&self->picture, slice.start + i);
        }
        return MP_OBJ_FROM_PTR(tuple);
    }
    mp_obj_t *items = NULL;
    if (mp_obj_is_type(value, &mp_type_list)) {
        mp_obj_get_array_fixed_n(value, length, &items);
    }
    for (size_t i = 0; i < length; i++) {
        store_pixel(&self->picture, slice.start + i, items != NULL ? items[i] : value);
    }
    return mp_const_none;
}

static mp_int_t image_get_buffer(mp_obj_t self_in, mp_buffer_info_t *info, mp_uint_t flags) {
    image_obj_t *self = MP_OBJ_TO_PTR(self_in);
    info->buf = self->picture.pixels;
    info->len = byte_count(&self->picture);
    info->typecode = 'B';
    return 0;
}

static void image_print(const mp_print_t *print, mp_obj_t self_in, mp_print_kind_t kind) {
    const image_obj_t *self = MP_OBJ_TO_PTR(self_in);
    mp_printf(print, "{\"w\":%d, \"h\":%d, \"type\"=\"%s\", \"size\":%d}", (int)self->picture.width,
        (int)self->picture.height, is_gray(&self->picture) ? "grayscale" : "rgb565", (int)byte_count(&self->picture));
}

static mp_obj_t image_width(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(image_get(self)->picture.width);
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_width_obj, image_width);

static mp_obj_t image_height(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(image_get(self)->picture.height);
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_height_obj, image_height);

static mp_obj_t image_size(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(byte_count(&image_get(self)->picture));
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_size_obj, image_size);

static mp_obj_t image_format(mp_obj_t self) {
    return MP_OBJ_NEW_SMALL_INT(is_gray(&image_get(self)->picture) ? PIXFORMAT_GRAYSCALE : PIXFORMAT_RGB565);
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_format_obj, image_format);

static mp_obj_t image_to_bytes(mp_obj_t self) {
    const picture_t *picture = &image_get(self)->picture;
    return mp_obj_new_bytearray_by_ref(byte_count(picture), picture->pixels);
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_to_bytes_obj, image_to_bytes);

static bool argument_place(const arguments_t *arguments, const picture_t *picture, size_t *index, size_t *next) {
    int32_t place[2];
    *next = argument_ints(arguments, 1, 2, place);
    *index = (size_t)place[1] * picture->width + place[0];
    return place[0] >= 0 && place[0] < picture->width && place[1] >= 0 && place[1] < picture->height;
}

static mp_obj_t image_get_pixel(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    const picture_t *picture = &image_get(args[0])->picture;
    size_t index, next;
    return argument_place(&arguments, picture, &index, &next) ? load_pixel(picture, index) : mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_get_pixel_obj, 2, image_get_pixel);

static mp_obj_t image_set_pixel(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    size_t index, next;
    bool inside = argument_place(&arguments, picture, &index, &next);
    uint16_t value = argument_color(&arguments, next, picture);
    if (inside && is_gray(picture)) {
        picture->pixels[index] = value;
    } else if (inside) {
        picture->pixels[2 * index] = value >> 8;
        picture->pixels[2 * index + 1] = value & 255;
    }
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_set_pixel_obj, 2, image_set_pixel);

// ---- copies and conversions ---------------------------------------------------------------

// The part of a picture that (x, y, w, h) covers, moved inside of it.
static picture_t cut(const picture_t *from, const int32_t area[4]) {
    int left = MAX(area[0], 0), top = MAX(area[1], 0);
    int right = MIN(area[0] + area[2], from->width), bottom = MIN(area[1] + area[3], from->height);
    if (left >= right || top >= bottom) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("area (%d, %d, %d, %d) lies outside of the %d x %d image"),
            (int)area[0], (int)area[1], (int)area[2], (int)area[3], (int)from->width, (int)from->height);
    }
    picture_t part = image_allocate(right - left, bottom - top, from->bytes_per_pixel);
    size_t line = (size_t)part.width * part.bytes_per_pixel;
    for (int y = 0; y < part.height; y++) {
        size_t begin = ((size_t)(top + y) * from->width + left) * from->bytes_per_pixel;
        memcpy(part.pixels + y * line, from->pixels + begin, line);
    }
    return part;
}

static mp_obj_t image_copy(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    const picture_t *picture = &image_get(args[0])->picture;
    mp_obj_t roi = argument(&arguments, 1, MP_QSTR_roi);
    if (roi == MP_OBJ_NULL) {
        return image_new(copy_of(picture), NULL);
    }
    int32_t area[4];
    arguments_t only = {1, &roi, kw_args};
    argument_ints(&only, 0, 4, area);
    return image_new(cut(picture, area), NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_copy_obj, 1, image_copy);

static mp_obj_t image_cut(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    int32_t area[4];
    argument_ints(&arguments, 1, 4, area);
    return image_new(cut(&image_get(args[0])->picture, area), NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_cut_obj, 2, image_cut);

static mp_obj_t image_resize(mp_obj_t self, mp_obj_t width, mp_obj_t height) {
    const picture_t *from = &image_get(self)->picture;
    picture_t to = image_allocate(mp_obj_get_int(width), mp_obj_get_int(height), from->bytes_per_pixel);
    picture_resize(from, &to);
    return image_new(to, NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_3(image_resize_obj, image_resize);

static mp_obj_t image_to_grayscale(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    const picture_t *from = &image_get(args[0])->picture;
    bool copy = argument_flag(&arguments, 1, MP_QSTR_copy, false);
    picture_t to = image_allocate(from->width, from->height, 1);
    picture_convert(from, &to);
    if (copy) {
        // The boards' copy has planes too, with nothing useful in them.
        uint8_t *planes = m_new(uint8_t, byte_count(&to));
        picture_planes(&to, planes);
        return image_new(to, planes);
    }
    // The new object lies on the old one's memory.
    memcpy(from->pixels, to.pixels, byte_count(&to));
    to.pixels = from->pixels;
    return image_new(to, NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_to_grayscale_obj, 1, image_to_grayscale);

static mp_obj_t to_color(const picture_t *from, const mp_obj_t self, bool copy, void (*convert)(const picture_t *, picture_t *)) {
    if (!copy && is_gray(from)) {
        mp_raise_msg(&mp_type_OSError, MP_ERROR_TEXT("Can't convert to rgb565 in place!"));
    }
    picture_t to = image_allocate(from->width, from->height, 2);
    convert(from, &to);
    if (copy) {
        return image_new(to, NULL);
    }
    memcpy(from->pixels, to.pixels, byte_count(&to));
    return self;
}

static mp_obj_t image_to_rgb565(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    bool copy = argument_flag(&arguments, 1, MP_QSTR_copy, false);
    return to_color(&image_get(args[0])->picture, args[0], copy, picture_convert);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_to_rgb565_obj, 1, image_to_rgb565);

static mp_obj_t image_to_rainbow(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    bool copy = argument_flag(&arguments, 1, MP_QSTR_copy, false);
    return to_color(&image_get(args[0])->picture, args[0], copy, picture_rainbow);
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_to_rainbow_obj, 1, image_to_rainbow);

static mp_obj_t image_pix_to_ai(mp_obj_t self_in) {
    image_obj_t *self = image_get(self_in);
    if (self->planes == NULL) {
        self->planes = m_new(uint8_t, pixel_count(&self->picture) * (is_gray(&self->picture) ? 1 : 3));
    }
    picture_planes(&self->picture, self->planes);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_pix_to_ai_obj, image_pix_to_ai);

static mp_obj_t image_ai_to_pix(mp_obj_t self_in) {
    image_obj_t *self = image_get(self_in);
    if (self->planes != NULL) {
        picture_take_planes(&self->picture, self->planes);
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_ai_to_pix_obj, image_ai_to_pix);

static mp_obj_t image_invert(mp_obj_t self) {
    picture_invert(&image_get(self)->picture);
    return self;
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_invert_obj, image_invert);

static mp_obj_t image_strech_char(mp_obj_t self, mp_obj_t de_dark) {
    picture_t *picture = &image_get(self)->picture;
    if (!is_gray(picture)) {
        mp_print_str(&mp_plat_print, "only support grayscale now\r\n");
        return mp_const_none;
    }
    picture_stretch_contrast(picture, mp_obj_get_int(de_dark) != 0);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(image_strech_char_obj, image_strech_char);

static mp_obj_t image_replace(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    if (n_args > 1) {
        picture_draw_picture(picture, &image_get(args[1])->picture, 0, 0, 1, 1);
    }
    bool mirror = argument_flag(&arguments, 2, MP_QSTR_hmirror, false);
    bool upside_down = argument_flag(&arguments, 3, MP_QSTR_vflip, false);
    picture_flip(picture, mirror, upside_down);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_replace_obj, 1, image_replace);

static mp_obj_t image_rotation_corr(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_rotation_t rotation = {
        .angles = {
            argument_float(&arguments, 1, MP_QSTR_x_rotation, 0),
            argument_float(&arguments, 2, MP_QSTR_y_rotation, 0),
            argument_float(&arguments, 3, MP_QSTR_z_rotation, 0),
        },
        .translation = {
            argument_float(&arguments, 4, MP_QSTR_x_translation, 0),
            argument_float(&arguments, 5, MP_QSTR_y_translation, 0),
        },
        .zoom = argument_float(&arguments, 6, MP_QSTR_zoom, 1),
        .field_of_view = argument_float(&arguments, 7, MP_QSTR_fov, 60),
    };
    if (!(rotation.zoom > 0)) {
        mp_raise_ValueError(MP_ERROR_TEXT("Zoom must be > 0!"));
    }
    if (!(rotation.field_of_view > 0 && rotation.field_of_view < 180)) {
        mp_raise_ValueError(MP_ERROR_TEXT("FOV must be > 0 and < 180!"));
    }
    picture_rotate(&image_get(args[0])->picture, &rotation);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_rotation_corr_obj, 1, image_rotation_corr);

// ---- drawing ------------------------------------------------------------------------------

static mp_obj_t image_clear(mp_obj_t self) {
    picture_t *picture = &image_get(self)->picture;
    memset(picture->pixels, 0, byte_count(picture));
    return self;
}
static MP_DEFINE_CONST_FUN_OBJ_1(image_clear_obj, image_clear);

static mp_obj_t image_draw_line(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    int32_t ends[4];
    size_t next = argument_ints(&arguments, 1, 4, ends);
    picture_pen_t pen = argument_pen(&arguments, next, picture, SIZE_MAX);
    picture_draw_line(picture, ends[0], ends[1], ends[2], ends[3], &pen);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_draw_line_obj, 2, image_draw_line);

static mp_obj_t image_draw_rectangle(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    int32_t area[4];
    size_t next = argument_ints(&arguments, 1, 4, area);
    picture_pen_t pen = argument_pen(&arguments, next, picture, next + 2);
    picture_draw_rectangle(picture, area[0], area[1], MAX(area[2], 0), MAX(area[3], 0), &pen);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_draw_rectangle_obj, 2, image_draw_rectangle);

static mp_obj_t image_draw_circle(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    int32_t circle[3];
    size_t next = argument_ints(&arguments, 1, 3, circle);
    picture_pen_t pen = argument_pen(&arguments, next, picture, next + 2);
    picture_draw_circle(picture, circle[0], circle[1], MAX(circle[2], 0), &pen);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_draw_circle_obj, 2, image_draw_circle);

static mp_obj_t image_draw_cross(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    int32_t place[2];
    size_t next = argument_ints(&arguments, 1, 2, place);
    picture_pen_t pen = {
        .value = argument_color(&arguments, next, picture),
        .thickness = argument_int(&arguments, next + 2, MP_QSTR_thickness, 1),
    };
    picture_draw_cross(picture, place[0], place[1], argument_int(&arguments, next + 1, MP_QSTR_size, 5), &pen);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_draw_cross_obj, 2, image_draw_cross);

// The font that font_load set: its size (width 0: the built-in font), and its address in the flash
// where its bytes are not in `image_font`.
typedef struct {
    size_t width, height;
    uint32_t address;
} font_t;

static font_t font;
MP_REGISTER_ROOT_POINTER(mp_obj_t image_font);

// Copies the glyph of a character, where the font has it.
static void read_glyph(uint32_t character, uint8_t *glyph, size_t size) {
    size_t begin = character * size;
    if (MP_STATE_VM(image_font) == MP_OBJ_NULL) {
        kpu_read_flash(font.address + begin, glyph, size);
        return;
    }
    mp_buffer_info_t info;
    mp_get_buffer_raise(MP_STATE_VM(image_font), &info, MP_BUFFER_READ);
    if (info.len >= begin + size) {
        memcpy(glyph, (const uint8_t *)info.buf + begin, size);
    }
}

// Gives the text the glyphs of its characters.
static void add_glyphs(picture_text_t *text) {
    size_t size = font.width / 8 * font.height;
    const byte *at = (const byte *)text->text, *end = at + text->length;
    uint8_t *glyphs = m_new0(uint8_t, utf8_charlen(at, text->length) * size);
    text->glyphs = glyphs;
    text->glyph_width = font.width;
    text->glyph_height = font.height;
    for (; at < end; at = utf8_next_char(at), glyphs += size) {
        unichar character = utf8_get_char(at);
        if (character >= ' ') {
            read_glyph(character, glyphs, size);
        }
    }
    text->glyph_bytes = glyphs - text->glyphs;
}

static mp_obj_t image_draw_string(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    int32_t place[2];
    size_t next = argument_ints(&arguments, 1, 2, place);
    mp_obj_t string = argument(&arguments, next, MP_QSTR_text);
    if (string == MP_OBJ_NULL) {
        mp_raise_TypeError(MP_ERROR_TEXT("draw_string needs a text"));
    }
    size_t length;
    picture_text_t text = {
        .text = mp_obj_str_get_data(string, &length),
        .x = place[0],
        .y = place[1],
        .value = argument_color(&arguments, next + 1, picture),
        .scale = argument_float(&arguments, next + 2, MP_QSTR_scale, 1),
        .x_spacing = argument_int(&arguments, next + 3, MP_QSTR_x_spacing, 0),
        .y_spacing = argument_int(&arguments, next + 4, MP_QSTR_y_spacing, 0),
    };
    text.length = length;
    if (!(text.scale > 0)) {
        mp_raise_ValueError(MP_ERROR_TEXT("scale must be > 0"));
    }
    if (font.width > 0) {
        add_glyphs(&text);
    }
    picture_draw_text(picture, &text);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_draw_string_obj, 3, image_draw_string);

static mp_obj_t image_draw_image(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    arguments_t arguments = {n_args, args, kw_args};
    picture_t *picture = &image_get(args[0])->picture;
    const picture_t *other = &image_get(args[1])->picture;
    int32_t place[2] = {0, 0};
    size_t next = n_args > 2 ? argument_ints(&arguments, 2, 2, place) : 2;
    float scale_x = argument_float(&arguments, next, MP_QSTR_x_scale, 1);
    float scale_y = argument_float(&arguments, next + 1, MP_QSTR_y_scale, 1);
    if (!(scale_x > 0 && scale_y > 0)) {
        mp_raise_ValueError(MP_ERROR_TEXT("x_scale and y_scale must be > 0"));
    }
    picture_t source = other->pixels == picture->pixels ? copy_of(other) : *other;
    picture_draw_picture(picture, &source, place[0], place[1], scale_x, scale_y);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_draw_image_obj, 2, image_draw_image);

// ---- files --------------------------------------------------------------------------------

// All bytes of a file of Python's file system.
static mp_obj_t read_file(mp_obj_t path) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        mp_raise_OSError(MP_EIO); // as the boards say it
    }
    mp_obj_t arguments[2] = {path, MP_OBJ_NEW_QSTR(MP_QSTR_rb)};
    mp_obj_t file = mp_builtin_open(2, arguments, (mp_map_t *)&mp_const_empty_map);
    nlr_pop();
    mp_obj_t method[2];
    mp_load_method(file, MP_QSTR_read, method);
    mp_obj_t bytes = mp_call_method_n_kw(0, 0, method);
    mp_stream_close(file);
    return bytes;
}

static mp_obj_t image_save(size_t n_args, const mp_obj_t *args, mp_map_t *kw_args) {
    picture_bytes_t encoded;
    const char *wrong = picture_encode(&image_get(args[0])->picture, mp_obj_str_get_str(args[1]), &encoded);
    if (wrong != NULL) {
        image_raise(wrong);
    }
    mp_obj_t bytes = mp_obj_new_bytearray(encoded.length, encoded.bytes);
    picture_release_bytes(&encoded);
    mp_obj_t arguments[2] = {args[1], MP_OBJ_NEW_QSTR(MP_QSTR_wb)};
    mp_obj_t file = mp_builtin_open(2, arguments, (mp_map_t *)&mp_const_empty_map);
    mp_obj_t method[3];
    mp_load_method(file, MP_QSTR_write, method);
    method[2] = bytes;
    mp_call_method_n_kw(1, 0, method);
    mp_stream_close(file);
    return args[0];
}
static MP_DEFINE_CONST_FUN_OBJ_KW(image_save_obj, 2, image_save);

static mp_obj_t image_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_map_t kw_args;
    mp_map_init_fixed_table(&kw_args, n_kw, args + n_args);
    arguments_t arguments = {n_args, args, &kw_args};
    if (n_args > 0) {
        mp_obj_t bytes = argument_flag(&arguments, SIZE_MAX, MP_QSTR_from_bytes, false) ? args[0] : read_file(args[0]);
        mp_buffer_info_t info;
        mp_get_buffer_raise(bytes, &info, MP_BUFFER_READ);
        picture_t decoded;
        const char *wrong = picture_decode(info.buf, info.len, &decoded);
        if (wrong != NULL) {
            image_raise(wrong);
        }
        return image_new(adopt(&decoded), NULL);
    }
    int32_t size[2] = {DEFAULT_WIDTH, DEFAULT_HEIGHT};
    mp_obj_t given = argument(&arguments, SIZE_MAX, MP_QSTR_size);
    if (given != MP_OBJ_NULL) {
        arguments_t only = {1, &given, &kw_args};
        argument_ints(&only, 0, 2, size);
    }
    return image_new(image_allocate(size[0], size[1], 2), NULL);
}

static const mp_rom_map_elem_t image_methods_table[] = {
    { MP_ROM_QSTR(MP_QSTR_width), MP_ROM_PTR(&image_width_obj) },
    { MP_ROM_QSTR(MP_QSTR_height), MP_ROM_PTR(&image_height_obj) },
    { MP_ROM_QSTR(MP_QSTR_format), MP_ROM_PTR(&image_format_obj) },
    { MP_ROM_QSTR(MP_QSTR_size), MP_ROM_PTR(&image_size_obj) },
    { MP_ROM_QSTR(MP_QSTR_to_bytes), MP_ROM_PTR(&image_to_bytes_obj) },
    { MP_ROM_QSTR(MP_QSTR_get_pixel), MP_ROM_PTR(&image_get_pixel_obj) },
    { MP_ROM_QSTR(MP_QSTR_set_pixel), MP_ROM_PTR(&image_set_pixel_obj) },
    { MP_ROM_QSTR(MP_QSTR_copy), MP_ROM_PTR(&image_copy_obj) },
    { MP_ROM_QSTR(MP_QSTR_crop), MP_ROM_PTR(&image_copy_obj) },
    { MP_ROM_QSTR(MP_QSTR_cut), MP_ROM_PTR(&image_cut_obj) },
    { MP_ROM_QSTR(MP_QSTR_resize), MP_ROM_PTR(&image_resize_obj) },
    { MP_ROM_QSTR(MP_QSTR_to_grayscale), MP_ROM_PTR(&image_to_grayscale_obj) },
    { MP_ROM_QSTR(MP_QSTR_to_rgb565), MP_ROM_PTR(&image_to_rgb565_obj) },
    { MP_ROM_QSTR(MP_QSTR_to_rainbow), MP_ROM_PTR(&image_to_rainbow_obj) },
    { MP_ROM_QSTR(MP_QSTR_pix_to_ai), MP_ROM_PTR(&image_pix_to_ai_obj) },
    { MP_ROM_QSTR(MP_QSTR_ai_to_pix), MP_ROM_PTR(&image_ai_to_pix_obj) },
    { MP_ROM_QSTR(MP_QSTR_invert), MP_ROM_PTR(&image_invert_obj) },
    { MP_ROM_QSTR(MP_QSTR_strech_char), MP_ROM_PTR(&image_strech_char_obj) },
    { MP_ROM_QSTR(MP_QSTR_replace), MP_ROM_PTR(&image_replace_obj) },
    { MP_ROM_QSTR(MP_QSTR_rotation_corr), MP_ROM_PTR(&image_rotation_corr_obj) },
    { MP_ROM_QSTR(MP_QSTR_clear), MP_ROM_PTR(&image_clear_obj) },
    { MP_ROM_QSTR(MP_QSTR_draw_line), MP_ROM_PTR(&image_draw_line_obj) },
    { MP_ROM_QSTR(MP_QSTR_draw_rectangle), MP_ROM_PTR(&image_draw_rectangle_obj) },
    { MP_ROM_QSTR(MP_QSTR_draw_circle), MP_ROM_PTR(&image_draw_circle_obj) },
    { MP_ROM_QSTR(MP_QSTR_draw_cross), MP_ROM_PTR(&image_draw_cross_obj) },
    { MP_ROM_QSTR(MP_QSTR_draw_string), MP_ROM_PTR(&image_draw_string_obj) },
    { MP_ROM_QSTR(MP_QSTR_draw_image), MP_ROM_PTR(&image_draw_image_obj) },
    { MP_ROM_QSTR(MP_QSTR_save), MP_ROM_PTR(&image_save_obj) },
};
static MP_DEFINE_CONST_DICT(image_methods, image_methods_table);

MP_DEFINE_CONST_OBJ_TYPE(
    image_type, MP_QSTR_Image, MP_TYPE_FLAG_NONE,
    make_new, image_make_new,
    print, image_print,
    subscr, image_subscr,
    buffer, image_get_buffer,
    locals_dict, &image_methods
    );

// ---- what the KPU module sees of an image ---------------------------------------------------

bool kpu_image_get(mp_obj_t object, kpu_image_t *image) {
    if (!mp_obj_is_type(object, &image_type)) {
        return false;
    }
    const image_obj_t *self = MP_OBJ_TO_PTR(object);
    image->width = self->picture.width;
    image->height = self->picture.height;
    image->bytes_per_pixel = self->picture.bytes_per_pixel;
    image->pixels = self->picture.pixels;
    image->planes = self->planes;
    return true;
}

mp_obj_t kpu_image_new_gray(int width, int height, uint8_t *pixels) {
    picture_t picture = {width, height, 1, pixels};
    return image_new(picture, NULL);
}

// ---- module functions ---------------------------------------------------------------------

static mp_obj_t get_affine_transform(mp_obj_t from_in, mp_obj_t to_in) {
    size_t counts[2];
    mp_obj_t *lists[2];
    mp_obj_get_array(from_in, &counts[0], &lists[0]);
    mp_obj_get_array(to_in, &counts[1], &lists[1]);
    if (counts[0] != counts[1] || counts[0] == 0) {
        mp_raise_ValueError(MP_ERROR_TEXT("both lists need the same number of points"));
    }
    float *points[2];
    for (int side = 0; side < 2; side++) {
        points[side] = m_new(float, 2 * counts[side]);
        for (size_t i = 0; i < counts[side]; i++) {
            mp_obj_t *place;
            mp_obj_get_array_fixed_n(lists[side][i], 2, &place);
            points[side][2 * i] = mp_obj_get_float(place[0]);
            points[side][2 * i + 1] = mp_obj_get_float(place[1]);
        }
    }
    float found[6];
    picture_estimate_transform(points[0], points[1], counts[0], &found);
    mp_obj_t items[9];
    for (int i = 0; i < 6; i++) {
        items[i] = mp_obj_new_float(found[i]);
    }
    items[6] = items[7] = mp_obj_new_float(0);
    items[8] = mp_obj_new_float(1);
    return mp_obj_new_tuple(9, items);
}
static MP_DEFINE_CONST_FUN_OBJ_2(get_affine_transform_obj, get_affine_transform);

static mp_obj_t warp_affine_ai(mp_obj_t from_in, mp_obj_t to_in, mp_obj_t transform_in) {
    const image_obj_t *from = image_get(from_in), *to = image_get(to_in);
    mp_obj_t *items;
    mp_obj_get_array_fixed_n(transform_in, 9, &items);
    float transform[6];
    for (int i = 0; i < 6; i++) {
        transform[i] = mp_obj_get_float(items[i]);
    }
    if (from->picture.bytes_per_pixel != to->picture.bytes_per_pixel) {
        mp_raise_ValueError(MP_ERROR_TEXT("src_img->bpp != dst_img->bpp"));
    }
    if (from->planes == NULL || to->planes == NULL) {
        mp_raise_ValueError(MP_ERROR_TEXT("only support ai image affine: call pix_to_ai() on both images first"));
    }
    picture_warp_planes(&from->picture, from->planes, &to->picture, to->planes, &transform);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(warp_affine_ai_obj, warp_affine_ai);

static mp_obj_t font_free(void) {
    font = (font_t) {0, 0, 0};
    MP_STATE_VM(image_font) = MP_OBJ_NULL;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(font_free_obj, font_free);

static mp_obj_t font_load(size_t n_args, const mp_obj_t *args) {
    mp_int_t kind = mp_obj_get_int(args[0]), width = mp_obj_get_int(args[1]), height = mp_obj_get_int(args[2]);
    if (kind != FONT_UTF8) {
        return font_free();
    }
    if (width < 8 || width % 8 != 0 || height < 1 || width > 256 || height > 256) {
        mp_raise_ValueError(MP_ERROR_TEXT("[MAIXPY]image: a font's width is a multiple of 8"));
    }
    if (mp_obj_is_int(args[3])) {
        if (mp_obj_get_int(args[3]) <= 0) {
            mp_raise_ValueError(MP_ERROR_TEXT("[MAIXPY]image: font_addr must > 0 "));
        }
        font = (font_t) {width, height, mp_obj_get_int(args[3])};
        MP_STATE_VM(image_font) = MP_OBJ_NULL;
        return mp_const_none;
    }
    if (strstr(mp_obj_str_get_str(args[3]), ".Dzk") == NULL) {
        mp_raise_ValueError(MP_ERROR_TEXT("[MAIXPY]image: font format don't match, only supply .Dzk "));
    }
    MP_STATE_VM(image_font) = read_file(args[3]);
    font = (font_t) {width, height, 0};
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(font_load_obj, 4, 4, font_load);

static const mp_rom_map_elem_t image_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_image) },
    { MP_ROM_QSTR(MP_QSTR___init__), MP_ROM_PTR(&font_free_obj) }, // after a soft reset
    { MP_ROM_QSTR(MP_QSTR_Image), MP_ROM_PTR(&image_type) },
    { MP_ROM_QSTR(MP_QSTR_get_affine_transform), MP_ROM_PTR(&get_affine_transform_obj) },
    { MP_ROM_QSTR(MP_QSTR_warp_affine_ai), MP_ROM_PTR(&warp_affine_ai_obj) },
    { MP_ROM_QSTR(MP_QSTR_font_load), MP_ROM_PTR(&font_load_obj) },
    { MP_ROM_QSTR(MP_QSTR_font_free), MP_ROM_PTR(&font_free_obj) },
    { MP_ROM_QSTR(MP_QSTR_ASCII), MP_ROM_INT(FONT_ASCII) },
    { MP_ROM_QSTR(MP_QSTR_UTF8), MP_ROM_INT(FONT_UTF8) },
};
static MP_DEFINE_CONST_DICT(image_globals, image_globals_table);

const mp_obj_module_t image_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&image_globals,
};
MP_REGISTER_MODULE(MP_QSTR_image, image_module);
