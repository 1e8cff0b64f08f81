// What CanMV's maixpy_main.c calls when a script was stopped, to free the models of CanMV's own class.
// Ours are freed by MicroPython, with all other objects.
int kpu_model_buffer_free_all_ptr(void);

int kpu_model_buffer_free_all_ptr(void) {
    return 0;
}
