/* Calls every function of the C API as a firmware would, and checks what comes back. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "maix_kpu.h"

struct model {
    const uint8_t *bytes;
    size_t length;
};

/* ---- services ----------------------------------------------------------------------------- */

static struct {
    const struct model *model;
    size_t asked, fail_at, live, opened, shown, nodes;
    bool stop, write_fails;
    uint8_t written[4096];
    size_t written_length;
} host;

static void *allocate(void *context, size_t bytes, size_t alignment)
{
    if (context != &host || host.asked++ == host.fail_at) {
        return NULL;
    }
    void *memory = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory == NULL) {
        return NULL;
    }
    memset(memory, 0xA5, bytes);
    host.live++;
    return memory;
}

static void release(void *context, void *memory)
{
    (void)context;
    host.live--;
    free(memory);
}

static void print(void *context, const char *text, size_t length)
{
    (void)context;
    host.shown += text[length - 1] != '\n';
}

static uint64_t microseconds(void *context)
{
    (void)context;
    static uint64_t now;
    return now += 7;
}

static bool interrupted(void *context)
{
    (void)context;
    return host.stop;
}

static bool copy(const struct model *model, size_t offset, void *bytes, size_t length)
{
    if (offset > model->length || length > model->length - offset) {
        return false;
    }
    memcpy(bytes, model->bytes + offset, length);
    return true;
}

static void *open_file(void *context, const char *path, size_t *size)
{
    (void)context;
    if (strcmp(path, "/sd/m.kmodel") != 0) {
        return NULL;
    }
    host.opened++;
    *size = host.model->length;
    return (void *)host.model;
}

static bool read_file(void *context, void *file, size_t offset, void *bytes, size_t length)
{
    (void)context;
    return copy(file, offset, bytes, length);
}

static void close_file(void *context, void *file)
{
    (void)context;
    (void)file;
    host.opened--;
}

/* The model lies at 0x300000, its bytes reversed in groups of four at 0x800000. */
static bool read_flash(void *context, uint32_t address, void *bytes, size_t length)
{
    (void)context;
    uint8_t *out = bytes;
    for (size_t i = 0; i < length; i++, address++) {
        size_t at = address >= 0x800000 ? (address - 0x800000) ^ 3 : address - 0x300000u;
        out[i] = at < host.model->length ? host.model->bytes[at] : 0xFF;
    }
    return true;
}

static bool read_reader(void *context, size_t offset, void *bytes, size_t length)
{
    return copy(context, offset, bytes, length);
}

static bool write_bytes(void *context, const void *bytes, size_t length)
{
    (void)context;
    if (host.write_fails || length > sizeof(host.written) - host.written_length) {
        return false;
    }
    memcpy(host.written + host.written_length, bytes, length);
    host.written_length += length;
    return true;
}

static void note(void *context, uint32_t index, uint64_t microseconds, uint32_t crc)
{
    size_t *checksum = context;
    host.nodes += index == host.nodes && microseconds > 0;
    *checksum = *checksum * 31 + crc;
}

/* ---- checks ------------------------------------------------------------------------------- */

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "exercise.c:%d: %s\n", __LINE__, #condition);       \
            return __LINE__;                                                    \
        }                                                                       \
    } while (0)

/* A call that may want memory: 0 is good; out of memory is good where an allocation failed. */
#define TRY(call)                                                               \
    do {                                                                        \
        int code_ = (call);                                                     \
        if (code_ != 0) {                                                       \
            CHECK(code_ == MAIX_KPU_ERROR_NO_MEMORY && host.asked > host.fail_at); \
            CHECK(maix_kpu_error_text(NULL, 0) > 0);                            \
            return 0;                                                           \
        }                                                                       \
    } while (0)

#define FAILS(call, number) CHECK((call) == MAIX_KPU_ERROR_##number)

static int errors(void)
{
    maix_kpu_model_t *model = NULL;
    FAILS(maix_kpu_open_bytes("not a model at all", 18, &model), VERSION);
    maix_kpu_error_t error;
    maix_kpu_last_error(&error);
    CHECK(error.code == MAIX_KPU_ERROR_VERSION && error.kind >= 0 && error.node == -1 && error.offset == 0);
    char text[200], cut[8];
    size_t length = maix_kpu_error_text(text, sizeof(text));
    CHECK(length == strlen(text) && length < sizeof(text) && strstr(text, "not a kmodel") == text);
    CHECK(maix_kpu_error_text(cut, sizeof(cut)) == length && strcmp(cut, "not a k") == 0);
    CHECK(maix_kpu_error_hint(text, sizeof(text)) == strlen(text) && strlen(text) > 0);
    FAILS(maix_kpu_open_bytes(NULL, 1, &model), PARAM);
    FAILS(maix_kpu_open_bytes("", 0, NULL), PARAM);
    FAILS(maix_kpu_open_file(NULL, false, &model), PARAM);
    FAILS(maix_kpu_open_file("/sd/other", false, &model), READ);
    FAILS(maix_kpu_open_flash(0x7FFFFFFF, false, &model), PARAM);
    FAILS(maix_kpu_open_reader(NULL, false, &model), PARAM);
    FAILS(maix_kpu_info(NULL, NULL), PARAM);
    FAILS(maix_kpu_forward(NULL, NULL, 0, NULL, NULL, -1), PARAM);
    FAILS(maix_kpu_start(NULL), PARAM);
    CHECK(model == NULL);
    return 0;
}

/* ---- a model ------------------------------------------------------------------------------ */

static int look(maix_kpu_model_t *model, maix_kpu_info_t *info)
{
    FAILS(maix_kpu_info(model, NULL), PARAM);
    CHECK(maix_kpu_info(model, info) == 0);
    CHECK((info->version == 3 || info->version == 4) && info->nodes == info->active_nodes);
    CHECK(info->file_bytes <= host.model->length + 7 && info->memory_bytes > 0);
    maix_kpu_tensor_t tensor;
    for (uint32_t i = 0; i < info->inputs; i++) {
        CHECK(maix_kpu_input(model, i, &tensor) == 0 && tensor.bytes > 0);
    }
    for (uint32_t i = 0; i < info->outputs; i++) {
        CHECK(maix_kpu_output(model, i, &tensor) == 0);
        size_t element = tensor.dtype == MAIX_KPU_F32 ? 4 : 1;
        CHECK(tensor.bytes == (size_t)tensor.n * tensor.c * tensor.h * tensor.w * element);
    }
    FAILS(maix_kpu_output(model, info->outputs, &tensor), INDEX);
    bool kpu = false;
    maix_kpu_node_t node;
    for (uint32_t i = 0; i < info->nodes; i++) {
        CHECK(maix_kpu_node(model, i, &node) == 0 && strlen(node.name) > 2);
        CHECK(!node.on_kpu || (node.in_w > 0 && node.out_c > 0 && node.words[0] != 0));
        kpu = kpu || node.on_kpu;
    }
    FAILS(maix_kpu_node(model, info->nodes, &node), INDEX);
    size_t length = 1;
    CHECK(maix_kpu_metadata(model, MAIX_KPU_LABELS, NULL, 0, &length) == 0);
    char labels[64] = {0};
    CHECK(length < sizeof(labels) && maix_kpu_metadata(model, MAIX_KPU_LABELS, labels, length, &length) == 0);
    CHECK(length == 0 || strcmp(labels, "cat\ndog") == 0);
    float range[2] = {9, 9};
    CHECK(maix_kpu_metadata(model, MAIX_KPU_INPUT_RANGE, range, sizeof(range), &length) == 0);
    CHECK(length == 0 || (length == 8 && range[0] == -1 && range[1] == 1));
    CHECK(maix_kpu_metadata(model, MAIX_KPU_ANCHORS, NULL, 0, &length) == 0);
    CHECK(maix_kpu_metadata(model, MAIX_KPU_NOTE, NULL, 0, &length) == 0);
    FAILS(maix_kpu_metadata(model, 99, NULL, 0, &length), PARAM);
    return 0;
}

static maix_kpu_model_t *watched;

/* Calls made while a model runs get an error, and hurt nothing. */
static void intrude(void *context, uint32_t index, uint64_t microseconds, uint32_t crc)
{
    (void)index, (void)microseconds, (void)crc;
    int *refused = context;
    maix_kpu_info_t info;
    *refused += maix_kpu_info(watched, &info) == MAIX_KPU_ERROR_RUN;
    *refused += maix_kpu_close(watched) == MAIX_KPU_ERROR_RUN;
    *refused += maix_kpu_forward(watched, NULL, 0, NULL, NULL, -1) == MAIX_KPU_ERROR_RUN;
}

static int run(maix_kpu_model_t *model, const maix_kpu_info_t *info, size_t *checksum)
{
    maix_kpu_tensor_t in;
    CHECK(maix_kpu_input(model, 0, &in) == 0);
    size_t count = (size_t)in.n * in.c * in.h * in.w;
    uint8_t *bytes = malloc(in.bytes);
    float *floats = malloc(count * sizeof(float));
    for (size_t i = 0; i < in.bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 % 61);
    }
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)(i % 5) / 5;
    }
    int line = 0;
    size_t before = host.asked;
    *checksum = host.nodes = 0;
    maix_kpu_trace_t trace = {checksum, true, note};
    maix_kpu_data_t raw = {.format = MAIX_KPU_FLOATS, .bytes = floats, .length = count * sizeof(float)};
    maix_kpu_data_t small = raw;
    small.length -= 4;
    maix_kpu_scaling_t scaling = {2, 1, 3};
    int refused = 0;
    maix_kpu_trace_t intruder = {&refused, false, intrude};
    watched = model;
    maix_kpu_data_t odd = {.format = MAIX_KPU_RAW, .bytes = bytes, .length = in.bytes};
    maix_kpu_data_t shorter = odd;
    shorter.length -= 1;
    if (maix_kpu_forward(model, &raw, 1, NULL, &trace, -1) != 0 || host.nodes != info->nodes ||
        maix_kpu_forward(model, &raw, 1, &scaling, NULL, 3) != 0 ||
        maix_kpu_forward(model, &raw, 1, NULL, &intruder, -1) != 0 || refused != 3 * (int)info->nodes ||
        maix_kpu_forward(model, &odd, 1, NULL, NULL, -1) != 0 ||
        maix_kpu_forward(model, &small, 1, NULL, NULL, -1) != MAIX_KPU_ERROR_SIZE ||
        maix_kpu_forward(model, &shorter, 1, NULL, NULL, -1) != MAIX_KPU_ERROR_SIZE ||
        maix_kpu_forward(model, &raw, 0, NULL, NULL, -1) != MAIX_KPU_ERROR_PARAM ||
        host.asked != before) {
        fprintf(stderr, "exercise.c: forward\n");
        line = __LINE__;
    }
    host.stop = true;
    if (maix_kpu_forward(model, &raw, 1, NULL, NULL, -1) != MAIX_KPU_ERROR_RUN) {
        line = __LINE__;
    }
    host.stop = false;
    if (maix_kpu_forward(model, &raw, 1, NULL, NULL, -1) != 0) {
        line = __LINE__;
    }
    free(floats);
    free(bytes);
    CHECK(line == 0);
    for (uint32_t i = 0; i < info->outputs; i++) {
        maix_kpu_tensor_t out;
        CHECK(maix_kpu_output(model, i, &out) == 0);
        uint8_t *copied = malloc(out.bytes + 1);
        int code = maix_kpu_read_output(model, i, copied, out.bytes);
        int wrong = maix_kpu_read_output(model, i, copied, out.bytes + 1);
        const void *where;
        size_t length;
        bool same = maix_kpu_output_bytes(model, i, &where, &length) != 0 ||
                    (length == out.bytes && memcmp(where, copied, length) == 0);
        free(copied);
        CHECK(code == 0 && wrong == MAIX_KPU_ERROR_SIZE && same);
    }
    CHECK(maix_kpu_set_layers(model, 1) == 0);
    maix_kpu_info_t cut;
    CHECK(maix_kpu_info(model, &cut) == 0 && cut.active_nodes == 1 && cut.outputs == 1);
    FAILS(maix_kpu_set_layers(model, info->nodes + 1), INDEX);
    CHECK(maix_kpu_set_layers(model, 0) == 0);
    return 0;
}

static int use(maix_kpu_model_t *model, size_t *checksum)
{
    maix_kpu_info_t info;
    int line = look(model, &info);
    line = line != 0 ? line : run(model, &info, checksum);
    if (maix_kpu_close(model) != 0) {
        return __LINE__;
    }
    return line;
}

static int models(void)
{
    maix_kpu_model_t *model = NULL;
    maix_kpu_reader_t reader = {(void *)host.model, host.model->length, read_reader};
    size_t first = 0, checksum;
    for (int way = 0; way < 8; way++) {
        bool stream = way % 2 == 1;
        switch (way) {
            case 0:
                TRY(maix_kpu_open_bytes(host.model->bytes, host.model->length, &model));
                break;
            case 1:
            case 2:
                TRY(maix_kpu_open_file("/sd/m.kmodel", stream, &model));
                break;
            case 3:
            case 4:
                TRY(maix_kpu_open_flash(0x300000, stream, &model));
                break;
            case 5:
                TRY(maix_kpu_open_flash(0x800000, stream, &model));
                break;
            default:
                TRY(maix_kpu_open_reader(&reader, stream, &model));
        }
        int line = use(model, &checksum);
        CHECK(line == 0);
        first = way == 0 ? checksum : first;
        CHECK(checksum == first && host.opened == 0);
    }
    CHECK(maix_kpu_close(NULL) == 0);
    return 0;
}

/* ---- vision ------------------------------------------------------------------------------- */

static int scores(void)
{
    float values[4] = {1, 3, 2, NAN};
    maix_kpu_ranked_t top[4];
    CHECK(maix_kpu_top(values, 4, top, 4) == 3 && top[0].index == 1 && top[2].score == 1);
    maix_kpu_softmax(values, 3);
    CHECK(fabsf(values[0] + values[1] + values[2] - 1) < 1e-6f && values[1] > values[2]);
    CHECK(fabsf(maix_kpu_sigmoid(0) - 0.5f) < 1e-6f);
    float feature[2] = {0.1f, -0.1f}, likeness;
    int8_t code[2];
    CHECK(maix_kpu_face_encode(feature, code, 2) == 0 && code[0] == 51 && code[1] == -51);
    CHECK(maix_kpu_face_compare(code, 2, code, 2, &likeness) == 0 && fabsf(likeness - 100) < 1e-3f);
    CHECK(maix_kpu_face_compare(code, 2, code, 1, &likeness) != 0);
    maix_kpu_feature_normalize(feature, 2);
    CHECK(maix_kpu_feature_compare(feature, 2, feature, 2, &likeness) == 0 && fabsf(likeness - 100) < 1e-3f);
    float plate[MAIX_KPU_PLATE_SCORES], features[7] = {1, 1, 1, 1, 1, 1, 1};
    size_t weights_bytes = MAIX_KPU_PLATE_SCORES * 2 * sizeof(float);
    float *weights = calloc(1, weights_bytes);
    weights[0] = 5;
    int code_ = maix_kpu_plate(features, 7, weights, weights_bytes, plate);
    int wrong = maix_kpu_plate(features, 7, weights, weights_bytes - 4, plate);
    free(weights);
    CHECK(code_ == 0 && plate[0] == 5 && wrong == MAIX_KPU_ERROR_SIZE);
    return 0;
}

static int detectors(void)
{
    float anchors[2] = {1, 1}, values[6 * 4];
    maix_kpu_yolo_head_t head = {2, 2, 6, anchors, 1};
    maix_kpu_yolo_t *yolo;
    FAILS(maix_kpu_yolo2_open(&head, 2, 0.3f, &yolo), PARAM);
    for (int version = 2; version <= 3; version++) {
        if (version == 2) {
            TRY(maix_kpu_yolo2_open(&head, 0.5f, 0.3f, &yolo));
        } else {
            TRY(maix_kpu_yolo3_open(&head, 1, 16, 16, 0.5f, 0.3f, &yolo));
        }
        for (int i = 0; i < 24; i++) {
            values[i] = -9;
        }
        values[4 * 4 + 3] = 9; /* objectness of the last cell */
        values[5 * 4 + 3] = 9;
        const float *outputs[1] = {values};
        size_t counts[1] = {24}, found = 0, before = host.asked;
        int code = maix_kpu_yolo_detect(yolo, outputs, counts, 1, &found);
        counts[0] = 23;
        int wrong = maix_kpu_yolo_detect(yolo, outputs, counts, 1, &found);
        counts[0] = 24;
        code |= maix_kpu_yolo_detect(yolo, outputs, counts, 1, &found);
        maix_kpu_detection_t detection = {0};
        int last = maix_kpu_yolo_detection(yolo, 0, &detection);
        int behind = maix_kpu_yolo_detection(yolo, 1, &detection);
        uint32_t classes = maix_kpu_yolo_classes(yolo);
        maix_kpu_yolo_close(yolo);
        CHECK(code == 0 && wrong == MAIX_KPU_ERROR_SIZE && found == 1 && last == 0 && classes == 1);
        CHECK(behind == MAIX_KPU_ERROR_INDEX && host.asked == before && detection.number == 3);
        maix_kpu_detection_unletterbox(&detection, 16, 16, 32, 16);
        maix_kpu_rect_t rect = {1, 1, 1, 1};
        maix_kpu_detection_rect(&detection, 32, 16, &rect);
        CHECK(rect.w < 32 && rect.x < 32);
    }
    maix_kpu_yolo_close(NULL);
    return 0;
}

static int learn(maix_kpu_learner_t *classifier)
{
    float a[2] = {0, 0}, b[2] = {4, 4}, near_b[2] = {3, 5};
    size_t index, left, classes, samples;
    CHECK(maix_kpu_learner_add_class(classifier, a, 2, -1, &index) == 0 && index == 0);
    CHECK(maix_kpu_learner_add_class(classifier, b, 2, 1, &index) == 0 && index == 1);
    FAILS(maix_kpu_learner_add_class(classifier, b, 2, -1, &index), INDEX);
    FAILS(maix_kpu_learner_train(classifier), PARAM);
    CHECK(maix_kpu_learner_add_sample(classifier, near_b, 2, &index) == 0 && index == 0);
    CHECK(maix_kpu_learner_remove_sample(classifier, &left) == 0 && left == 0);
    CHECK(maix_kpu_learner_add_sample(classifier, near_b, 2, &index) == 0);
    CHECK(maix_kpu_learner_train(classifier) == 0);
    int found = -2;
    float distance = -1;
    CHECK(maix_kpu_learner_predict(classifier, near_b, 2, &found, &distance) == 0);
    CHECK(found == 1 && distance == 0);
    maix_kpu_capacity_t room;
    maix_kpu_learner_info(classifier, &room, &classes, &samples);
    CHECK(room.classes == 2 && room.samples == 3 && room.feature == 2 && classes == 2 && samples == 0);
    host.written_length = 0;
    CHECK(maix_kpu_learner_save(classifier, false, NULL, write_bytes) == 0);
    host.write_fails = true;
    FAILS(maix_kpu_learner_save(classifier, false, NULL, write_bytes), READ);
    host.write_fails = false;
    CHECK(maix_kpu_learner_remove_class(classifier, &left) == 0 && left == 1);
    return 0;
}

static int reload(maix_kpu_learner_t *classifier)
{
    float near_b[2] = {3, 5}, distance;
    int found;
    CHECK(maix_kpu_learner_load(classifier, host.written, host.written_length) == 0);
    CHECK(maix_kpu_learner_predict(classifier, near_b, 2, &found, &distance) == 0);
    CHECK(found == 1 && distance == 0);
    return 0;
}

static int classifiers(void)
{
    maix_kpu_capacity_t room = {2, 3, 2}, saved;
    maix_kpu_learner_t *classifier;
    TRY(maix_kpu_learner_open(&room, &classifier));
    int line = learn(classifier);
    maix_kpu_learner_close(classifier);
    CHECK(line == 0);
    CHECK(maix_kpu_learner_file(host.written, host.written_length, &saved) == 0);
    CHECK(saved.classes == 2 && saved.samples == 3 && saved.feature == 2);
    FAILS(maix_kpu_learner_file(host.written, host.written_length - 1, &saved), FORMAT);
    TRY(maix_kpu_learner_open(&saved, &classifier));
    line = reload(classifier);
    maix_kpu_learner_close(classifier);
    maix_kpu_learner_close(NULL);
    return line;
}

int exercise(const struct model *model, size_t fail_at, size_t *allocations)
{
    memset(&host, 0, sizeof(host));
    host.model = model;
    host.fail_at = fail_at;
    maix_kpu_model_t *none;
    FAILS(maix_kpu_open_file("/sd/m.kmodel", false, &none), PARAM); /* not started */
    maix_kpu_services_t services = {
        .context = &host, .allocate = allocate, .release = release, .print = print,
        .microseconds = microseconds, .interrupted = interrupted, .open_file = open_file,
        .read_file = read_file, .close_file = close_file, .read_flash = read_flash,
        .flash_size = 16 << 20,
    };
    CHECK(maix_kpu_start(&services) == 0);
    int (*const parts[])(void) = {errors, models, scores, detectors, classifiers};
    int line = 0;
    for (size_t i = 0; line == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i] == errors && fail_at != SIZE_MAX) {
            continue; /* which error comes first depends on the memory there is */
        }
        line = parts[i]();
        CHECK(host.opened == 0);
        if (parts[i] == errors) {
            host.asked = 0; /* allocations are counted from here, with and without this part */
        }
    }
    maix_kpu_stop();
    *allocations = host.asked;
    CHECK(line != 0 || host.live == 0);
    return line;
}
