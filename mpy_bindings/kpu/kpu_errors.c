// The library's errors as exceptions, and its services.

#include <string.h>

#include "kpu_objects.h"
#include "kpu_port.h"
#include "py/mpthread.h"
#include "py/runtime.h"

// MaixPy's names of the numbers from 2001 on.
static const char *const NAMES[] = {
    "ERR_PARAM", "ERR_KMODEL_VERSION", "ERR_KMODEL_FORMAT", "ERR_DECRYPT", "ERR_READ_FILE",
    "ERR_NO_MEM", "ERR_FIRST_LAYER", "ERR_KPU_RUN", "ERR_MODELS_FULL", "ERR_PERMISSION",
    "ERR_INDEX", "ERR_SIZE", "ERR_OUTPUTS_SET", "ERR_NOT_IMPLEMENTED", "ERR_UNKNOWN",
};

static void print_line(void *context, const char *text, size_t length) {
    (void)context;
    mp_printf(&mp_plat_print, "[MAIXPY]kpu: %.*s\n", (int)length, text);
}

// Between two nodes other threads may run, and an exception that waits ends the run.
static bool interrupted(void *context) {
    (void)context;
    MP_THREAD_GIL_EXIT();
    MP_THREAD_GIL_ENTER();
    return compat_exception_pending();
}

static maix_kpu_services_t services = {.print = print_line, .interrupted = interrupted};

void kpu_start(void) {
    static bool started;
    if (!started) {
        kpu_port_services(&services);
        maix_kpu_start(&services);
        started = true;
    }
}

void kpu_read_flash(uint32_t address, void *bytes, size_t length) {
    kpu_start();
    if (services.read_flash == NULL || address >= services.flash_size || length > services.flash_size - address) {
        mp_raise_msg_varg(&mp_type_ValueError, MP_ERROR_TEXT("the flash ends before %u + %u"), (unsigned)address, (unsigned)length);
    }
    if (!services.read_flash(services.context, address, bytes, length)) {
        mp_raise_msg_varg(&mp_type_OSError, MP_ERROR_TEXT("the flash cannot be read at %u"), (unsigned)address);
    }
}

void *kpu_allocate(size_t bytes) {
    void *memory = services.allocate(services.context, bytes, sizeof(uint64_t));
    if (memory == NULL) {
        m_malloc_fail(bytes);
    }
    return memory;
}

void kpu_release(void *memory) {
    if (memory != NULL) {
        services.release(services.context, memory);
    }
}

void kpu_handle_pending(void) {
    if (compat_exception_pending()) {
        #ifdef MP_DEFINE_CONST_OBJ_TYPE
        mp_handle_pending(true);
        #else
        mp_handle_pending();
        #endif
    }
}

static void add(vstr_t *text, size_t (*get)(char *, size_t)) {
    size_t length = get(NULL, 0);
    char *end = vstr_add_len(text, length + 1);
    get(end, length + 1);
    text->len -= 1; // the NUL
}

mp_obj_t kpu_error_text(const char *prefix) {
    maix_kpu_error_t error;
    maix_kpu_last_error(&error);
    vstr_t text;
    vstr_init(&text, 128);
    size_t name = (size_t)(error.code - MAIX_KPU_ERROR_PARAM);
    vstr_printf(&text, "%s%d, %s: ", prefix, error.code, name < MP_ARRAY_SIZE(NAMES) ? NAMES[name] : "ERR_UNKNOWN");
    add(&text, maix_kpu_error_text);
    if (maix_kpu_error_hint(NULL, 0) > 0) {
        vstr_add_str(&text, "; ");
        add(&text, maix_kpu_error_hint);
    }
    return mp_obj_new_str(text.buf, text.len);
}

MP_NORETURN void kpu_raise_text(const mp_obj_type_t *type, const char *text) {
    mp_obj_t argument = mp_obj_new_str(text, strlen(text));
    nlr_raise(mp_obj_new_exception_arg1(type, argument));
}

void kpu_check_as(const mp_obj_type_t *type, const char *prefix, int code) {
    if (code != 0) {
        kpu_handle_pending();
        nlr_raise(mp_obj_new_exception_arg1(type, kpu_error_text(prefix)));
    }
}

void kpu_check(int code) {
    kpu_check_as(&mp_type_OSError, "[MAIXPY]kpu: error:", code);
}
