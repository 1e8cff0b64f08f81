// What the files of the KPU module share.
#pragma once

#include "compat.h"
#include "maix_kpu.h"
#include "py/obj.h"

// A loaded model: `kpu_net`.
typedef struct {
    mp_obj_base_t base;
    maix_kpu_model_t *model; // NULL once freed
    uint32_t address;        // of the flash it came from, or 0
    mp_obj_t path;           // or None
    mp_obj_t bytes;          // what the model lies in, or MP_OBJ_NULL
    mp_obj_t yolo;           // the last init_yolo2 or init_yolo3, or None
    size_t size;             // of the model
    bool quiet;              // prints nothing of its own
    size_t shape_count;
    struct kpu_shape {
        bool set; // by set_outputs
        uint16_t w, h, ch;
    } *shapes;
} kpu_net_obj_t;

extern const mp_obj_type_t kpu_net_type, kpu_fmap_type, kpu_yolo_type, kpu_yolo_find_type,
    kpu_netinfo_type, kpu_classifier_type, kpu_class_type;

// Whether objects that are collected say nothing.
extern bool kpu_quiet;

// kpu_errors.c: prepares the library, once.
void kpu_start(void);
// Raises what a function of the library answered: OSError or `type`, with the text and what to do.
void kpu_check(int code);
void kpu_check_as(const mp_obj_type_t *type, const char *prefix, int code);
// The last error's number, name, text and hint as one Python string.
mp_obj_t kpu_error_text(const char *prefix);
// Reads flash memory.
void kpu_read_flash(uint32_t address, void *bytes, size_t length);
// Memory where models lie, not on Python's heap, to be released; MemoryError where there is none.
void *kpu_allocate(size_t bytes);
void kpu_release(void *memory); // NULL is no error
MP_NORETURN void kpu_raise_text(const mp_obj_type_t *type, const char *text);

// kpu_file.c
mp_obj_t kpu_file_open(mp_obj_t path, qstr mode); // MP_OBJ_NULL where that fails
size_t kpu_file_size(mp_obj_t file);
// Reads the file that the object at `file` is; true where all bytes came.
bool kpu_file_read(void *file, size_t offset, void *bytes, size_t length);

// kpu_net.c
kpu_net_obj_t *kpu_net_new(void);
// The task behind an object; an error where it is none, or was freed.
kpu_net_obj_t *kpu_net_get(mp_obj_t object);
kpu_net_obj_t *kpu_net_open(mp_obj_t object);
void kpu_net_load(kpu_net_obj_t *self, mp_obj_t from, bool stream);
// Opens the model of a file, which is closed; the library's answer.
int kpu_net_open_file(kpu_net_obj_t *self, mp_obj_t file);
void kpu_net_free(kpu_net_obj_t *self);
maix_kpu_info_t kpu_net_info(const kpu_net_obj_t *self);
// w, h, ch of an output: those of set_outputs, else the model's.
maix_kpu_tensor_t kpu_net_output(const kpu_net_obj_t *self, uint32_t index, struct kpu_shape *shape);
// An output of the last run as floats, until the next run.
const float *kpu_net_floats(const kpu_net_obj_t *self, uint32_t output, size_t *count);

// kpu_input.c: runs a model on what a script gives.
typedef struct {
    mp_obj_t scale, mean, std; // None: as usual
    int dma_channel;
    const maix_kpu_trace_t *trace;
} kpu_run_t;
void kpu_net_run(kpu_net_obj_t *net, mp_obj_t input, const kpu_run_t *how);
// Floats of any list, tuple, array, feature map or other buffer, on Python's heap.
float *kpu_floats(mp_obj_t object, size_t *count);

// kpu_fmap.c: an output of the last run, copied.
mp_obj_t kpu_fmap_new(kpu_net_obj_t *net, uint32_t output);
mp_obj_t kpu_fmap_channel(mp_obj_t fmap, mp_int_t channel);
const float *kpu_fmap_values(mp_obj_t object, size_t *count); // NULL: no feature map of floats

// kpu_yolo.c
mp_obj_t kpu_init_yolo2(size_t count, const mp_obj_t *arguments, mp_map_t *named);
mp_obj_t kpu_run_yolo2(size_t count, const mp_obj_t *arguments, mp_map_t *named);
mp_obj_t kpu_init_yolo3(size_t count, const mp_obj_t *arguments, mp_map_t *named);

// kpu_netinfo.c
mp_obj_t kpu_netinfo(mp_obj_t task);

// Raises the exception that waits, if one does.
void kpu_handle_pending(void);
