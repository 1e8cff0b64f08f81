/* Runs 1x1 layers of one pixel until one does not end in time, resets the KPU, and goes on. */
#include "k210.h"

static uint8_t batch_norm[8] __attribute__((aligned(128)));
static uint8_t activation[144] __attribute__((aligned(256)));
static uint8_t weights[128] __attribute__((aligned(128)));

void on_trap(uint64_t cause)
{
    (void)cause;
    print("unexpected trap\n");
}

static uint64_t high(const void *parameters)
{
    return (uint64_t)((uintptr_t)parameters - 0x40000000) << 32;
}

/* Whether the layer has ended in time. */
static int run(void)
{
    const uint64_t words[12] = {
        [0] = 1,
        [1] = 64ull << 32,
        [4] = high(batch_norm) | 15 << 16 | 1 << 10,
        [5] = high(weights) | 1 << 15 | 1,
        [7] = high(activation) | 1ull << 31 | 4 << 28 | 1 << 16 | 1,
        [8] = 4 << 20 | 1 << 16 | 1,
    };
    KPU_INT_CLEAR = 7;
    uint64_t begin = CLINT_MTIME;
    for (int i = 0; i < 12; i++)
        KPU_FIFO = words[i];
    while (!(KPU_INT_RAW & 1))
        if (CLINT_MTIME - begin > 100000)
            return 0;
    return 1;
}

int main(void)
{
    int n = 0;
    KPU_EIGHT_BIT = 1;
    while (run())
        n++;
    print("at layer ");
    print_hex(n, 1);
    print(" the KPU is stuck\n");
    SYSCTL_PERI_RESET |= 4;
    SYSCTL_PERI_RESET &= ~4u;
    n = run() + run();
    print_hex(n, 1);
    print(" layers after a reset\n");
    return 0;
}
