/* maix_kpu: runs Kendryte K210 kmodels, on the chip's KPU or bit for bit on a PC.
 *
 * The library allocates nothing but through the services that maix_kpu_start gets, and nothing at
 * all inside maix_kpu_forward and the vision functions that work on values.
 *
 * Unless it says otherwise a function returns 0, or the number of an error (MAIX_KPU_ERROR_...);
 * maix_kpu_error and the two functions behind it then tell more. Out-parameters are written only
 * when a function returns 0. A pointer may be NULL only where that is said.
 *
 * One thread at a time may call. The services are called back from inside a call; a call made from
 * there works on other objects, and gets MAIX_KPU_ERROR_RUN where it would need the KPU or the
 * model that is running.
 */
#ifndef MAIX_KPU_H
#define MAIX_KPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Errors ------------------------------------------------------------------------------- */

/* Numbers as MaixPy's; docs/errors.md lists what belongs to each. */
#define MAIX_KPU_ERROR_PARAM 2001
#define MAIX_KPU_ERROR_VERSION 2002
#define MAIX_KPU_ERROR_FORMAT 2003
#define MAIX_KPU_ERROR_DECRYPT 2004
#define MAIX_KPU_ERROR_READ 2005
#define MAIX_KPU_ERROR_NO_MEMORY 2006
#define MAIX_KPU_ERROR_FIRST_LAYER 2007
#define MAIX_KPU_ERROR_RUN 2008
#define MAIX_KPU_ERROR_MODELS_FULL 2009
#define MAIX_KPU_ERROR_PERMISSION 2010
#define MAIX_KPU_ERROR_INDEX 2011
#define MAIX_KPU_ERROR_SIZE 2012
#define MAIX_KPU_ERROR_OUTPUTS_UNSET 2013
#define MAIX_KPU_ERROR_NOT_IMPLEMENTED 2014
#define MAIX_KPU_ERROR_UNKNOWN 2015

/* The last error. */
typedef struct maix_kpu_error {
    int code;       /* MAIX_KPU_ERROR_..., 0 where there was none */
    int32_t kind;   /* row of the table in docs/errors.md, from 0 */
    int32_t node;   /* node of the model, or -1 */
    int64_t offset; /* byte of the file, or -1 */
} maix_kpu_error_t;

/* The last error of any function. */
void maix_kpu_last_error(maix_kpu_error_t *error);

/* Its text (what and where) as UTF-8 with a NUL, cut to `size` bytes. Returns its full length
 * without the NUL; `text` may be NULL where `size` is 0. */
size_t maix_kpu_error_text(char *text, size_t size);

/* What the user can do about it, in the same way; may be empty. */
size_t maix_kpu_error_hint(char *text, size_t size);

/* ---- Services ----------------------------------------------------------------------------- */

/* What the host does for the library. */
typedef struct maix_kpu_services {
    /* Handed to every service. */
    void *context;
    /* Memory at an address that is a multiple of `alignment` (a power of two, at most 256); NULL
     * where there is none. */
    void *(*allocate)(void *context, size_t bytes, size_t alignment);
    /* Gives back what allocate gave. */
    void (*release)(void *context, void *memory);
    /* Shows a line of text, without its end; may be NULL. */
    void (*print)(void *context, const char *text, size_t length);
    /* Microseconds since some moment; may be NULL, then every duration is 0. */
    uint64_t (*microseconds)(void *context);
    /* Whether to stop. Asked between nodes and between the pieces of a long read; the call then
     * ends with MAIX_KPU_ERROR_RUN. May be NULL. */
    bool (*interrupted)(void *context);
    /* Opens a file and gives its size; NULL where that fails. May be NULL, as the two below. */
    void *(*open_file)(void *context, const char *path, size_t *size);
    /* Reads `length` bytes at `offset`; true where all of them came. */
    bool (*read_file)(void *context, void *file, size_t offset, void *bytes, size_t length);
    /* Closes a file. */
    void (*close_file)(void *context, void *file);
    /* Reads flash memory; true where all bytes came. May be NULL. */
    bool (*read_flash)(void *context, uint32_t address, void *bytes, size_t length);
    /* Bytes of flash memory. */
    uint32_t flash_size;
} maix_kpu_services_t;

/* Gives the library its services, which are copied. To be called before everything else; again
 * only while nothing is open. */
int maix_kpu_start(const maix_kpu_services_t *services);

/* Gives back what the library itself holds (on a PC the simulated KPU). Everything that was opened
 * must be closed. */
void maix_kpu_stop(void);

/* ---- Models ------------------------------------------------------------------------------- */

/* An opened model, with the memory it runs in. */
typedef struct maix_kpu_model maix_kpu_model_t;

/* Element types; the numbers are those of Python's array and struct. */
#define MAIX_KPU_F32 'f'
#define MAIX_KPU_U8 'B'

/* An input or output. */
typedef struct maix_kpu_tensor {
    uint32_t n, c, h, w; /* images, channels, lines, pixels of a line */
    uint32_t dtype;      /* MAIX_KPU_F32 or MAIX_KPU_U8 */
    size_t bytes;
} maix_kpu_tensor_t;

/* Where the bytes of a model come from. */
typedef struct maix_kpu_reader {
    void *context;
    size_t size;
    /* Reads `length` bytes at `offset`; true where all of them came. */
    bool (*read)(void *context, size_t offset, void *bytes, size_t length);
} maix_kpu_reader_t;

/* Each of these opens a model: recognises it, checks every node, takes the memory it runs in. The
 * model is to be given back with maix_kpu_close.
 *
 * A model that `stream`s keeps its weights where they are and reads those of one node at a time
 * while it runs: it needs the least memory, and its file or reader must stay. Otherwise the whole
 * model is read into memory. Files in the byte order of the original load_flash are recognised. */

/* From memory, where the bytes stay, unchanged, until the model is closed. They are not copied. On
 * the chip they are best placed at a multiple of 256. */
int maix_kpu_open_bytes(const void *bytes, size_t length, maix_kpu_model_t **model);

/* From a file, by the file services. */
int maix_kpu_open_file(const char *path, bool stream, maix_kpu_model_t **model);

/* From flash memory, by the flash service. */
int maix_kpu_open_flash(uint32_t address, bool stream, maix_kpu_model_t **model);

/* From anything else. The reader is copied. */
int maix_kpu_open_reader(const maix_kpu_reader_t *reader, bool stream, maix_kpu_model_t **model);

/* Gives a model back; NULL is no error. Nothing happens to a model that is running, but
 * MAIX_KPU_ERROR_RUN is returned. */
int maix_kpu_close(maix_kpu_model_t *model);

/* What a model is. */
typedef struct maix_kpu_info {
    uint32_t version;      /* of the kmodel format: 3 or 4 */
    uint32_t nodes;        /* that it has */
    uint32_t active_nodes; /* that run, see maix_kpu_set_layers */
    uint32_t inputs;
    uint32_t outputs;
    size_t file_bytes;   /* of the model, without metadata */
    size_t memory_bytes; /* taken for it */
} maix_kpu_info_t;

int maix_kpu_info(const maix_kpu_model_t *model, maix_kpu_info_t *info);

int maix_kpu_input(const maix_kpu_model_t *model, uint32_t index, maix_kpu_tensor_t *tensor);

int maix_kpu_output(const maix_kpu_model_t *model, uint32_t index, maix_kpu_tensor_t *tensor);

/* Bytes of a node's name, with the NUL. */
#define MAIX_KPU_NAME_BYTES 40

/* A node. */
typedef struct maix_kpu_node {
    uint32_t opcode; /* as the file has it */
    char name[MAIX_KPU_NAME_BYTES];
    size_t offset;     /* of its body in the file */
    uint32_t bytes;    /* of its body */
    bool on_kpu;       /* the fields below are 0 where it is not */
    uint64_t words[12]; /* of a KPU layer, docs/formats.md */
    uint32_t in_w, in_h, in_c, out_w, out_h, out_c;
    bool depthwise;
    uint32_t kernel;    /* 1 for 3x3, 0 for 1x1 */
    uint32_t pool;      /* 0 to 9 */
    uint32_t para_size; /* bytes of weights that are loaded at a time */
} maix_kpu_node_t;

int maix_kpu_node(const maix_kpu_model_t *model, uint32_t index, maix_kpu_node_t *node);

/* What may stand behind a model, docs/formats.md, metadata. */
#define MAIX_KPU_LABELS 1      /* UTF-8 text, one class a line */
#define MAIX_KPU_ANCHORS 2     /* pairs of float */
#define MAIX_KPU_INPUT_RANGE 3 /* two float: the values of pixel bytes 0 and 255 */
#define MAIX_KPU_NOTE 4        /* UTF-8 text */

/* Copies at most `size` bytes of an entry to `bytes` (which may be NULL where `size` is 0) and sets
 * `length` to the number of all its bytes, 0 where there is no such entry. */
int maix_kpu_metadata(const maix_kpu_model_t *model, int what, void *bytes, size_t size,
                      size_t *length);

/* Runs only the first `layers` nodes from now on, 0: all. The model then has one output: what the
 * last of them writes. */
int maix_kpu_set_layers(maix_kpu_model_t *model, uint32_t layers);

/* ---- Running ------------------------------------------------------------------------------ */

/* What an input's bytes are. */
typedef enum maix_kpu_format {
    MAIX_KPU_PLANAR = 0, /* image: planes of bytes one behind the other (pix_ai) */
    MAIX_KPU_RGB565 = 1, /* image: two bytes a pixel, red first, as MaixPy's */
    MAIX_KPU_RGB888 = 2, /* image: three bytes a pixel */
    MAIX_KPU_GRAY = 3,   /* image: one byte a pixel */
    MAIX_KPU_FLOATS = 4, /* one float a value; rounded for a model that takes bytes */
    MAIX_KPU_BYTES = 5,  /* one byte a value, 0 to 255 also for a model that takes floats */
    MAIX_KPU_RAW = 6     /* the model's own element type */
} maix_kpu_format_t;

/* An input. Pixels become 0 to 1 where the model takes floats, or what its metadata say. */
typedef struct maix_kpu_data {
    maix_kpu_format_t format;
    uint32_t width, height; /* of an image */
    uint32_t channels;      /* of a planar image */
    const void *bytes;      /* floats: at a multiple of 4 */
    size_t length;          /* in bytes */
} maix_kpu_data_t;

/* Every value becomes (value * scale - mean) / std. */
typedef struct maix_kpu_scaling {
    float scale, mean, std;
} maix_kpu_scaling_t;

/* Is told of every node that has run. */
typedef struct maix_kpu_trace {
    void *context;
    /* Whether to compute the checksums, which takes time. */
    bool checksums;
    /* `crc` is the CRC-32 of what the node has written, else 0. */
    void (*node)(void *context, uint32_t index, uint64_t microseconds, uint32_t crc);
} maix_kpu_trace_t;

/* Runs a model on `count` inputs.
 *
 * `scaling` replaces the usual scaling of inputs; may be NULL. `trace` may be NULL. `dma_channel`
 * (0 to 5) copies images to and from the KPU on the chip, -1: the CPU does.
 *
 * The inputs are read before the first node runs. */
int maix_kpu_forward(maix_kpu_model_t *model, const maix_kpu_data_t *inputs, size_t count,
                     const maix_kpu_scaling_t *scaling, const maix_kpu_trace_t *trace,
                     int dma_channel);

/* Copies an output of the last run; `size` is maix_kpu_tensor_t's bytes. What lies in KPU RAM (a
 * model cut by maix_kpu_set_layers) is lost when another model runs. */
int maix_kpu_read_output(maix_kpu_model_t *model, uint32_t index, void *bytes, size_t size);

/* An output of the last run where it lies: until the model runs again or is closed. Not for what
 * lies in KPU RAM. */
int maix_kpu_output_bytes(const maix_kpu_model_t *model, uint32_t index, const void **bytes,
                          size_t *length);

/* ---- Scores and features ------------------------------------------------------------------ */

float maix_kpu_sigmoid(float x);

/* Turns scores into probabilities, in place. */
void maix_kpu_softmax(float *scores, size_t count);

/* A score and where it stood. */
typedef struct maix_kpu_ranked {
    size_t index;
    float score;
} maix_kpu_ranked_t;

/* The `size` largest scores, largest first; returns how many there are (NaN does not count). */
size_t maix_kpu_top(const float *scores, size_t count, maix_kpu_ranked_t *top, size_t size);

/* Codes a feature of `count` values, as MaixPy's face_encode. */
int maix_kpu_face_encode(const float *feature, int8_t *code, size_t count);

/* How alike two codes are, 0 to 100, as MaixPy's face_compare. */
int maix_kpu_face_compare(const int8_t *a, size_t a_count, const int8_t *b, size_t b_count,
                          float *likeness);

/* Scales a feature to length 1, in place. */
void maix_kpu_feature_normalize(float *feature, size_t count);

/* How alike two features of length 1 are, 0 to 100, as CanMV's feature_compare. */
int maix_kpu_feature_compare(const float *a, size_t a_count, const float *b, size_t b_count,
                             float *likeness);

/* Scores of a licence plate's seven characters: province (31), letter (24), five of 34. */
#define MAIX_KPU_PLATE_SCORES 225

/* The scores from a plate model's output and its weights file (little-endian floats). */
int maix_kpu_plate(const float *features, size_t count, const void *weights, size_t weights_bytes,
                   float scores[MAIX_KPU_PLATE_SCORES]);

/* ---- YOLO --------------------------------------------------------------------------------- */

/* A detector, with the memory it works in. */
typedef struct maix_kpu_yolo maix_kpu_yolo_t;

/* One output of a YOLO model: anchors * (5 + classes) channels of `h` lines of `w` cells. */
typedef struct maix_kpu_yolo_head {
    uint32_t w, h, c;
    const float *anchors; /* width, height of each; copied */
    size_t anchor_count;
} maix_kpu_yolo_head_t;

/* An object. x, y (centre), w, h are fractions of the picture. */
typedef struct maix_kpu_detection {
    uint32_t number; /* of the box: anchor, line, cell of the first output, then of the next */
    uint32_t class_id;
    float probability;
    float x, y, w, h;
} maix_kpu_detection_t;

/* A box in pixels. */
typedef struct maix_kpu_rect {
    uint32_t x, y, w, h;
} maix_kpu_rect_t;

/* A YOLOv2 detector; anchors in cells. Boxes count above `threshold`; of two of a class that
 * overlap by more than `nms` (both 0 to 1) the less probable one does not. To be given back with
 * maix_kpu_yolo_close. */
int maix_kpu_yolo2_open(const maix_kpu_yolo_head_t *head, float threshold, float nms,
                        maix_kpu_yolo_t **yolo);

/* A YOLOv3 detector of `count` outputs; anchors in pixels of the model's input. */
int maix_kpu_yolo3_open(const maix_kpu_yolo_head_t *heads, size_t count, uint32_t net_w,
                        uint32_t net_h, float threshold, float nms, maix_kpu_yolo_t **yolo);

/* Gives a detector back; NULL is no error. */
void maix_kpu_yolo_close(maix_kpu_yolo_t *yolo);

/* Classes of the model. */
uint32_t maix_kpu_yolo_classes(const maix_kpu_yolo_t *yolo);

/* Finds the objects in the outputs, `values[i]` of `counts[i]` floats, and sets `found` to their
 * number. */
int maix_kpu_yolo_detect(maix_kpu_yolo_t *yolo, const float *const *values, const size_t *counts,
                         size_t count, size_t *found);

/* One of the objects of the last call of maix_kpu_yolo_detect, in the order of their numbers. */
int maix_kpu_yolo_detection(const maix_kpu_yolo_t *yolo, size_t index,
                            maix_kpu_detection_t *detection);

/* The box in a picture of that size, as MaixPy rounds: borders truncated, negative ones 0. */
void maix_kpu_detection_rect(const maix_kpu_detection_t *detection, uint32_t width,
                             uint32_t height, maix_kpu_rect_t *rect);

/* Moves a box from the net's input to the picture that was fitted into it with bars around. */
void maix_kpu_detection_unletterbox(maix_kpu_detection_t *detection, uint32_t net_w,
                                    uint32_t net_h, uint32_t picture_w, uint32_t picture_h);

/* ---- Self-learning classifier ------------------------------------------------------------- */

/* A classifier, with the memory it works in. */
typedef struct maix_kpu_learner maix_kpu_learner_t;

/* What a classifier has room for. */
typedef struct maix_kpu_capacity {
    size_t classes;
    size_t samples;
    size_t feature; /* values of a feature */
} maix_kpu_capacity_t;

/* An empty classifier, to be given back with maix_kpu_learner_close. */
int maix_kpu_learner_open(const maix_kpu_capacity_t *capacity,
                          maix_kpu_learner_t **classifier);

/* Gives a classifier back; NULL is no error. */
void maix_kpu_learner_close(maix_kpu_learner_t *classifier);

/* What it has room for, and how many classes and samples it has; each may be NULL. */
void maix_kpu_learner_info(const maix_kpu_learner_t *classifier,
                           maix_kpu_capacity_t *capacity, size_t *classes, size_t *samples);

/* Makes a feature the centre of the class at `place` (-1: of the first that has none) and sets
 * `index` to it. Of a longer feature the first values count. */
int maix_kpu_learner_add_class(maix_kpu_learner_t *classifier, const float *feature,
                               size_t count, int place, size_t *index);

/* Keeps a feature for training and sets `index` to its number. */
int maix_kpu_learner_add_sample(maix_kpu_learner_t *classifier, const float *feature,
                                size_t count, size_t *index);

/* Removes the last class, or sample, and sets `left` to the number of those that stay. */
int maix_kpu_learner_remove_class(maix_kpu_learner_t *classifier, size_t *left);
int maix_kpu_learner_remove_sample(maix_kpu_learner_t *classifier, size_t *left);

/* Moves every class to the mean of the samples nearest to it until none changes; then drops the
 * samples. */
int maix_kpu_learner_train(maix_kpu_learner_t *classifier);

/* The class whose centre is nearest, and its distance. `class_index` becomes -1 where there is
 * none. */
int maix_kpu_learner_predict(const maix_kpu_learner_t *classifier, const float *feature,
                             size_t count, int *class_index, float *distance);

/* Hands the file to `write` piece by piece, which returns false to stop. `plain`: byte for byte as
 * MaixPy; else with a version and a checksum behind it, which MaixPy ignores. */
int maix_kpu_learner_save(const maix_kpu_learner_t *classifier, bool plain, void *context,
                          bool (*write)(void *context, const void *bytes, size_t length));

/* What a saved classifier needs. */
int maix_kpu_learner_file(const void *bytes, size_t length, maix_kpu_capacity_t *capacity);

/* Loads the classes of a file into an empty classifier that has room for them. */
int maix_kpu_learner_load(maix_kpu_learner_t *classifier, const void *bytes, size_t length);

#ifdef __cplusplus
}
#endif

#endif
