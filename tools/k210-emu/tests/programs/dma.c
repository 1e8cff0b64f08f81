/* Copies by DMA, waiting once by polling and once for the interrupt; then from an unconnected device. */
#include "k210.h"

static uint8_t from[1000] __attribute__((aligned(8))), to[1000] __attribute__((aligned(8)));
static volatile int done;

void on_trap(uint64_t cause)
{
    uint32_t source = PLIC_CLAIM;
    if (cause != (CAUSE_INTERRUPT | 11) || source != 29)
        print("unexpected trap\n");
    REG64(DMAC_CH(2) + 0x98) = ~0u;
    done = 1;
    PLIC_CLAIM = source;
}

static void check(const char *what)
{
    int wrong = 0;
    for (int i = 0; i < 1000; i++) {
        wrong += to[i] != from[i];
        to[i] = 0;
    }
    print(what);
    print(wrong ? " is wrong\n" : " is right\n");
}

int main(void)
{
    for (int i = 0; i < 1000; i++)
        from[i] = i * 7 + 1;
    dma_start(1, DMA_MEMORY_TO_MEMORY, (uintptr_t)from, (uintptr_t)to, DMA_WIDTH_64, 125);
    if (to[0] == from[0])
        print("a transfer takes no time\n");
    dma_wait(1);
    check("the first copy");
    interrupt_enable(29);
    dma_start(2, DMA_MEMORY_TO_MEMORY, (uintptr_t)from - 0x40000000, (uintptr_t)to - 0x40000000, DMA_WIDTH_32, 250);
    while (!done)
        __asm__ volatile("wfi");
    check("the second copy");
    print("waiting\n");
    dma_connect(3, REQUEST_SPI3_RX);
    dma_start(3, DMA_DEVICE_TO_MEMORY, KPU_DATA_OUT, (uintptr_t)to, DMA_WIDTH_64, 1);
    dma_wait(3);
    print("unreachable\n");
    return 0;
}
