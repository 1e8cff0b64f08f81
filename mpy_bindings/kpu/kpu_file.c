// Python's files, as the library reads them.

#include "kpu_objects.h"
#include "py/builtin.h"
#include "py/runtime.h"
#include "py/stream.h"

mp_obj_t kpu_file_open(mp_obj_t path, qstr mode) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        return MP_OBJ_NULL;
    }
    mp_obj_t arguments[2] = {path, MP_OBJ_NEW_QSTR(mode)};
    mp_obj_t file = mp_builtin_open(2, arguments, (mp_map_t *)&mp_const_empty_map);
    nlr_pop();
    return file;
}

size_t kpu_file_size(mp_obj_t file) {
    const mp_stream_p_t *stream = mp_get_stream_raise(file, MP_STREAM_OP_READ | MP_STREAM_OP_IOCTL);
    struct mp_stream_seek_t seek = {.offset = 0, .whence = MP_SEEK_END};
    int error = 0;
    if (stream->ioctl(file, MP_STREAM_SEEK, (uintptr_t)&seek, &error) == MP_STREAM_ERROR) {
        mp_raise_OSError(error);
    }
    return (size_t)seek.offset;
}

bool kpu_file_read(void *file_in, size_t offset, void *bytes, size_t length) {
    mp_obj_t file = *(mp_obj_t *)file_in;
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        return false;
    }
    const mp_stream_p_t *stream = mp_get_stream(file);
    struct mp_stream_seek_t seek = {.offset = (mp_off_t)offset, .whence = MP_SEEK_SET};
    int error = 0;
    bool done = stream->ioctl(file, MP_STREAM_SEEK, (uintptr_t)&seek, &error) != MP_STREAM_ERROR;
    done = done && mp_stream_rw(file, bytes, length, &error, MP_STREAM_RW_READ) == length && error == 0;
    nlr_pop();
    return done;
}
