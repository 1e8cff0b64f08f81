/* Identifies the flash chip and reads, erases and programs it as firmware drivers do. */
#include "k210.h"

enum { STANDARD = 0 << 22, QUAD = 2 << 22, SEND = 1 << 10, COMMAND_THEN_RECEIVE = 3 << 10 };

static uint32_t words[4096] __attribute__((aligned(64)));
static uint8_t page[256];

void on_trap(uint64_t cause)
{
    (void)cause;
    print("unexpected trap\n");
}

static void finish(void)
{
    while ((SPI3(SPI_STATUS) & 5) != 4)
        ;
    SPI3(SPI_SELECT) = 0;
    SPI3(SPI_ENABLE) = 0;
}

/* Bytes out on one line, then bytes in, moved by the CPU. */
static void command(const uint8_t *out, int out_count, uint8_t *in, int in_count)
{
    SPI3(SPI_CTRLR0) = STANDARD | (in_count ? COMMAND_THEN_RECEIVE : SEND) | 7;
    SPI3(SPI_CTRLR1) = in_count - 1;
    SPI3(SPI_ENABLE) = 1;
    if (!in_count)
        SPI3(SPI_SELECT) = 1;
    while (out_count) {
        while (SPI3(SPI_TX_LEVEL) >= 32)
            ;
        REG(SPI3_DATA) = *out++;
        out_count--;
    }
    SPI3(SPI_SELECT) = 1;
    while (in_count) {
        if (SPI3(SPI_RX_LEVEL)) {
            *in++ = REG(SPI3_DATA);
            in_count--;
        }
    }
    finish();
}

/* Words of 32 bits in on four lines, by DMA. */
static void quad_read(uint32_t address, uint32_t count, int byte_order)
{
    static uint32_t out[2];
    out[0] = 0xEB;
    out[1] = address << 8;
    SPI3(SPI_CTRLR0) = QUAD | COMMAND_THEN_RECEIVE | 31;
    SPI3(SPI_CTRLR_ENHANCED) = 4 << 11 | 2 << 8 | 8 << 2 | 1;
    SPI3(SPI_ENDIAN) = byte_order;
    SPI3(SPI_CTRLR1) = count - 1;
    SPI3(SPI_DMA) = 3;
    SPI3(SPI_ENABLE) = 1;
    dma_connect(0, REQUEST_SPI3_TX);
    dma_connect(1, REQUEST_SPI3_RX);
    dma_start(1, DMA_DEVICE_TO_MEMORY, SPI3_DATA, (uintptr_t)words, DMA_WIDTH_32, count);
    dma_start(0, DMA_MEMORY_TO_DEVICE, (uintptr_t)out, SPI3_DATA, DMA_WIDTH_32, 2);
    SPI3(SPI_SELECT) = 1;
    dma_wait(0);
    dma_wait(1);
    finish();
}

static void write_enable(void)
{
    command((const uint8_t[]){0x06}, 1, NULL, 0);
}

int main(void)
{
    uint8_t answer[16];
    command((const uint8_t[]){0x90, 0, 0, 0}, 4, answer, 2);
    print_bytes(answer, 2);
    command((const uint8_t[]){0x03, 0x30, 0x00, 0x00}, 4, answer, 16);
    print_bytes(answer, 16);
    quad_read(0x300000, 4096, 1);
    uint32_t sum = 0;
    for (int i = 0; i < 4096; i++)
        sum = (sum << 1 | sum >> 31) ^ words[i];
    print_hex(sum, 8);
    print("\n");
    quad_read(0x300000, 1, 0);
    print_bytes((uint8_t *)words, 4);
    write_enable();
    command((const uint8_t[]){0x20, 0x30, 0x00, 0x00}, 4, NULL, 0);
    write_enable();
    for (int i = 0; i < 4; i++)
        page[i] = ((uint8_t[]){0x02, 0x30, 0x00, 0x04})[i];
    for (int i = 4; i < 256; i++)
        page[i] = i;
    command(page, 20, NULL, 0);
    command((const uint8_t[]){0x0B, 0x30, 0x00, 0x00, 0xFF}, 5, answer, 16);
    print_bytes(answer, 16);
    return 0;
}
