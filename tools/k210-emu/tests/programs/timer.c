/* Sleeps until the timer has fired three times; then waits by looking at the cycle counter. */
#include "k210.h"

static volatile int ticks;

void on_trap(uint64_t cause)
{
    if (cause != (CAUSE_INTERRUPT | 7))
        print("unexpected trap\n");
    ticks++;
    CLINT_MTIMECMP = CLINT_MTIME + 100000;
}

int main(void)
{
    uint64_t begin = CLINT_MTIME;
    CLINT_MTIMECMP = begin + 100000;
    set_csr(mie, MTIE);
    set_csr(mstatus, MIE);
    while (ticks < 3)
        __asm__ volatile("wfi");
    clear_csr(mstatus, MIE);
    print(CLINT_MTIME - begin >= 300000 ? "3 ticks\n" : "too early\n");
    uint64_t cycles = read_csr(mcycle);
    while (read_csr(mcycle) - cycles < 400000000)
        ;
    print("a second\n");
    return 0;
}
