/* Does what the received letter says. */
#include "k210.h"

static volatile uint64_t cause_seen;

void on_trap(uint64_t cause)
{
    cause_seen = cause;
}

__attribute__((noinline)) static void read_nowhere(void)
{
    *(volatile uint32_t *)0x90000000;
}

__attribute__((noinline)) static void write_null(void)
{
    uintptr_t null = 0;
    __asm__("" : "+r"(null));
    REG(null + 0x10) = 1;
}

__attribute__((noinline)) static void no_device(void)
{
    REG(0x40900000 - 0x100) = 1;
}

__attribute__((noinline)) static void jump_nowhere(void)
{
    ((void (*)(void))0x12340000)();
}

__attribute__((noinline)) static void loop_for_ever(void)
{
    for (;;)
        __asm__ volatile("");
}

int main(void)
{
    print("?");
    switch (get()) {
    case 'r': read_nowhere(); break;
    case 'w': write_null(); break;
    case 'd': no_device(); break;
    case 'j': jump_nowhere(); break;
    case 'i': __asm__ volatile(".word 0xffffffff"); break;
    case 'b': __asm__ volatile("ebreak"); break;
    case 'l': loop_for_ever(); break;
    case 'k':
        for (int i = 0; i < 12; i++)
            KPU_FIFO = ~0ull;
        loop_for_ever();
        break;
    case 'e':
        __asm__ volatile("ecall");
        print_hex(cause_seen, 2);
        break;
    }
    print("!\n");
    return 0;
}
