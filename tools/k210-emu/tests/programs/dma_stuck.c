/* Copies until a transfer does not end in time, disables its channel, and goes on. */
#include "k210.h"

static uint8_t from[64] __attribute__((aligned(8))) = {1, 2, 3}, to[64] __attribute__((aligned(8)));

void on_trap(uint64_t cause)
{
    (void)cause;
    print("unexpected trap\n");
}

/* Whether the copy has ended in time. */
static int copy(void)
{
    uint64_t begin = CLINT_MTIME;
    dma_start(0, DMA_MEMORY_TO_MEMORY, (uintptr_t)from, (uintptr_t)to, DMA_WIDTH_64, 8);
    while (DMAC_CHEN & 1) {
        if (CLINT_MTIME - begin > 100000) {
            DMAC_CHEN = 0x100;
            return 0;
        }
    }
    return 1;
}

int main(void)
{
    int n = 0;
    while (copy())
        n++;
    print("transfer ");
    print_hex(n, 1);
    print(" is stuck\n");
    n = copy() + copy();
    print_hex(n, 1);
    print(" transfers after it\n");
    return 0;
}
