/* Reads a layer, its parameters and its input from flash, runs it, and sends the result: once by
 * polling, from KPU RAM; once by interrupt; once by DMA from the output FIFO. */
#include "k210.h"

/* At 0x300000 in flash, as the test writes it. */
struct job {
    uint64_t words[12];
    uint32_t batch_norm, activation, weights, input; /* offsets in the job */
    uint32_t input_bytes, output_bytes, eight_bit, size;
};

static uint32_t buffer[65536] __attribute__((aligned(256)));
static uint8_t result[65536] __attribute__((aligned(64)));
static volatile int done;

void on_trap(uint64_t cause)
{
    uint32_t source = PLIC_CLAIM;
    if (cause != (CAUSE_INTERRUPT | 11) || source != 25 || KPU_INT_STATUS != 1)
        print("unexpected trap\n");
    KPU_INT_CLEAR = 7;
    done = 1;
    PLIC_CLAIM = source;
}

static void flash_read(uint32_t address, uint32_t words)
{
    SPI3(SPI_CTRLR0) = 2 << 22 | 3 << 10 | 31;
    SPI3(SPI_CTRLR_ENHANCED) = 8 << 11 | 2 << 8 | 6 << 2;
    SPI3(SPI_ENDIAN) = 1;
    SPI3(SPI_CTRLR1) = words - 1;
    SPI3(SPI_DMA) = 3;
    SPI3(SPI_ENABLE) = 1;
    dma_connect(1, REQUEST_SPI3_RX);
    dma_start(1, DMA_DEVICE_TO_MEMORY, SPI3_DATA, (uintptr_t)buffer, DMA_WIDTH_32, words);
    REG(SPI3_DATA) = 0x6B;
    REG(SPI3_DATA) = address;
    SPI3(SPI_SELECT) = 1;
    dma_wait(1);
    SPI3(SPI_SELECT) = 0;
    SPI3(SPI_ENABLE) = 0;
}

static void push(const struct job *job, int interrupt, int send_out)
{
    uint64_t words[12], base = (uintptr_t)job - 0x40000000;
    for (int i = 0; i < 12; i++)
        words[i] = job->words[i];
    words[0] |= interrupt;
    words[4] = (uint32_t)words[4] | (base + job->batch_norm) << 32;
    words[5] = (uint32_t)words[5] | (base + job->weights) << 32;
    words[7] = (uint32_t)words[7] | (base + job->activation) << 32;
    words[11] |= send_out;
    for (int i = 0; i < 12; i++)
        KPU_FIFO = words[i];
}

int main(void)
{
    struct job *job = (struct job *)buffer;
    flash_read(0x300000, 65536);
    KPU_EIGHT_BIT = job->eight_bit;
    KPU_INT_CLEAR = 7;
    KPU_INT_MASK = 7;
    KPU_THRESHOLD = 10 | 1 << 4;
    /* The input is as KPU RAM holds it, from row 0. */
    const uint8_t *input = (const uint8_t *)buffer + job->input;
    for (uint32_t i = 0; i < job->input_bytes; i++)
        KPU_RAM[i] = input[i];
    volatile uint8_t *output = KPU_RAM + 64 * (uint32_t)(job->words[1] >> 32 & 0x7FFF);

    push(job, 1, 0);
    if (KPU_INT_RAW & 1)
        print("a layer takes no time\n");
    while (!(KPU_INT_RAW & 1))
        ;
    print_bytes(output, job->output_bytes);

    for (uint32_t i = 0; i < job->output_bytes; i++)
        output[i] = 0;
    KPU_INT_CLEAR = 7;
    KPU_INT_MASK = 6;
    interrupt_enable(25);
    push(job, 1, 0);
    while (!done)
        __asm__ volatile("wfi");
    print_bytes(output, job->output_bytes);

    KPU_INT_MASK = 7;
    uint32_t bytes = (job->words[11] >> 32) + 1;
    dma_connect(4, REQUEST_KPU);
    dma_start(4, DMA_DEVICE_TO_MEMORY, KPU_DATA_OUT, (uintptr_t)result, DMA_WIDTH_64, (bytes + 7) / 8);
    push(job, 0, 1);
    dma_wait(4);
    print_bytes(result, bytes);
    clear_csr(mstatus, MIE);
    return 0;
}
