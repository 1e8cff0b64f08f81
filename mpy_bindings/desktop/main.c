// The desktop program: a board's start, then one script.

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "extmod/vfs.h"
#include "extmod/vfs_posix.h"
#include "py/builtin.h"
#include "py/compile.h"
#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/mpthread.h"
#include "py/runtime.h"
#include "py/stackctrl.h"

#include "desktop.h"
#include "kpu_objects.h"
#include "program.h"

#define STACK_BYTES (256 * 1024)

static void mount(const char *folder, const char *place) {
    mp_obj_t name = folder == NULL ? MP_OBJ_NULL : mp_obj_new_str(folder, strlen(folder));
    mp_obj_t arguments[2] = {
        MP_OBJ_TYPE_GET_SLOT(&mp_type_vfs_posix, make_new)(&mp_type_vfs_posix, folder != NULL, 0, &name),
        mp_obj_new_str(place, strlen(place)),
    };
    mp_vfs_mount(2, arguments, (mp_map_t *)&mp_const_empty_map);
}

// The PC's files are the root; /flash and /sd are the folders of the options.
static void mount_all(const desktop_options_t *options) {
    mount(NULL, "/");
    MP_STATE_VM(vfs_cur) = MP_STATE_VM(vfs_mount_table);
    if (options->spiffs != NULL) {
        mount(options->spiffs, "/flash");
    }
    if (options->sd != NULL) {
        mount(options->sd, "/sd");
    }
}

static void set_arguments(const desktop_options_t *options) {
    mp_sys_path = mp_obj_new_list(0, NULL);
    mp_obj_list_append(mp_sys_path, MP_OBJ_NEW_QSTR(MP_QSTR__dot_frozen));
    const char *end = strrchr(options->script, '/');
    size_t folder = end == NULL ? 0 : end - options->script;
    mp_obj_list_append(mp_sys_path, mp_obj_new_str(options->script, folder));
    mp_obj_list_init(MP_OBJ_TO_PTR(mp_sys_argv), 0);
    mp_obj_list_append(mp_sys_argv, mp_obj_new_str(options->script, strlen(options->script)));
    for (size_t i = 0; i < options->argument_count; i++) {
        mp_obj_list_append(mp_sys_argv, mp_obj_new_str(options->arguments[i], strlen(options->arguments[i])));
    }
}

// The exit status that an exception stands for; prints it where it is no SystemExit.
static int status_of(mp_obj_base_t *exception) {
    mp_obj_t object = MP_OBJ_FROM_PTR(exception);
    if (!mp_obj_is_subclass_fast(MP_OBJ_FROM_PTR(exception->type), MP_OBJ_FROM_PTR(&mp_type_SystemExit))) {
        mp_obj_print_exception(&mp_plat_print, object);
        return 1;
    }
    mp_obj_t value = mp_obj_exception_get_value(object);
    mp_int_t status = 0;
    if (value != mp_const_none && !mp_obj_get_int_maybe(value, &status)) {
        status = 1;
    }
    return status & 255;
}

// The names that a board's boot script leaves in __main__.
static void run_boot(const desktop_options_t *options) {
    mp_obj_t boot = mp_import_name(MP_QSTR__boot, mp_const_none, MP_OBJ_NEW_SMALL_INT(0));
    mp_obj_t seed = mp_load_attr(boot, MP_QSTR_seed);
    mp_call_function_2(seed, MP_OBJ_FROM_PTR(mp_globals_get()), mp_obj_new_bool(options->canmv));
}

static int run(const desktop_options_t *options) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) != 0) {
        mp_hal_set_interrupt_char(-1);
        mp_handle_pending(false);
        return status_of(nlr.ret_val);
    }
    mount_all(options);
    set_arguments(options);
    run_boot(options);
    mp_hal_set_interrupt_char(3);
    mp_lexer_t *lexer = mp_lexer_new_from_file(qstr_from_str(options->script));
    qstr name = lexer->source_name;
    mp_store_global(MP_QSTR___file__, MP_OBJ_NEW_QSTR(name));
    mp_parse_tree_t tree = mp_parse(lexer, MP_PARSE_FILE_INPUT);
    mp_call_function_0(mp_compile(&tree, name, false));
    mp_hal_set_interrupt_char(-1);
    mp_handle_pending(true);
    nlr_pop();
    return 0;
}

static MP_NOINLINE int run_board(const desktop_options_t *options) {
    char *heap = malloc(options->heap_bytes);
    if (heap == NULL) {
        fprintf(stderr, "maixpy: no memory for a heap of %zu bytes (--heap)\n", options->heap_bytes);
        return 2;
    }
    kpu_port_set_memory(options->memory_bytes);
    gc_init(heap, heap + options->heap_bytes);
    mp_init();
    int status = run(options);
    kpu_quiet = true; // a script's output ends with the script
    gc_sweep_all(); // finalisers, as a soft reset of a board does
    #if MICROPY_PY_THREAD
    mp_thread_deinit();
    #endif
    mp_deinit();
    free(heap);
    return status;
}

int __wrap_main(int argc, char **argv) {
    const desktop_options_t *options = desktop_start(argc, (const char *const *)argv);
    signal(SIGPIPE, SIG_IGN);
    #if MICROPY_PY_THREAD
    mp_thread_init();
    #endif
    mp_cstack_init_with_sp_here(STACK_BYTES * sizeof(void *) / 4);
    return run_board(options);
}
