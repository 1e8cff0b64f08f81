// Boots the board: clocks, console, Python's heap, /flash; then the REPL, again and again.

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/readline/readline.h"
#include "shared/runtime/gchelper.h"
#include "shared/runtime/interrupt_char.h"
#include "shared/runtime/pyexec.h"

#include "board.h"

// From k210.ld: addresses, not variables.
extern char _stack_top[], _stack_bytes[];

// Until Ctrl-D ends it, or `sys.exit()`.
static void repl(void) {
    for (;;) {
        bool over = pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
        if (over) {
            return;
        }
    }
}

static void run_python(void) {
    size_t bytes = board_gc_heap_bytes();
    char *heap = malloc(bytes);
    if (heap == NULL) {
        serial_say("no memory for Python's heap; restarting with the usual size\r\n");
        board_set_gc_heap_bytes(0);
        chip_reset();
    }
    gc_init(heap, heap + bytes);
    mp_init();
    readline_init0();
    pyexec_frozen_module("_start.py", false);
    pyexec_file_if_exists("boot.py");
    if (pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL) {
        pyexec_file_if_exists("main.py");
    }
    repl();
    mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
    gc_sweep_all();
    mp_deinit();
    free(heap);
}

int main(void) {
    chip_start_clocks();
    serial_start();
    chip_enable_interrupts();
    mp_cstack_init_with_top(_stack_top, (size_t)_stack_bytes);
    for (;;) {
        run_python();
    }
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    (void)value;
    serial_say("\r\nfirmware fault: an exception that nobody catches; restarting\r\n");
    chip_reset();
}

// Also what the C library calls.
void abort(void) {
    serial_say("\r\nfirmware fault: abort; restarting\r\n");
    chip_reset();
}
