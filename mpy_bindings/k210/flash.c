// Reads the flash chip behind SPI3, on one line.

#include <string.h>

#include "chip.h"

#define SPI3(offset) CHIP_REGISTER(0x54000000 + (offset))
#define CONTROL SPI3(0x00)
#define COUNT SPI3(0x04)
#define ENABLED SPI3(0x08)
#define SELECTED SPI3(0x10)
#define DIVIDER SPI3(0x14)
#define RECEIVED SPI3(0x24)
#define STATUS SPI3(0x28)
#define INTERRUPT_MASK SPI3(0x2C)
#define DMA SPI3(0x4C)
#define DATA SPI3(0x60)
#define EXTENDED SPI3(0xF4)
#define BYTE_ORDER SPI3(0x118)

#define COMMAND_THEN_RECEIVE (3u << 10)
#define BITS(n) ((n) - 1u)
#define BUSY 1u

#define READ 0x03000000u

#define SYSCTL_CLOCK_SELECT SYSCTL(0x20)
#define SYSCTL_CLOCKS_ON SYSCTL(0x2C)
#define SYSCTL_THRESHOLD1 SYSCTL(0x3C)
#define SPI3_CLOCK_ON (1u << 9)
#define SPI3_FROM_PLL0 (1u << 12)
#define SPI3_THRESHOLD (255u << 24)

// PLL0 / 2 / 16 = 24 MHz; this command of the flash chip may have 50.
#define CLOCK_DIVIDER 16

#define WORD sizeof(uint32_t)
#define MOST_WORDS 0x10000 // in one command

static void start(void) {
    SYSCTL_CLOCKS_ON |= SPI3_CLOCK_ON;
    SYSCTL_CLOCK_SELECT |= SPI3_FROM_PLL0;
    SYSCTL_THRESHOLD1 &= ~SPI3_THRESHOLD;
    ENABLED = 0;
    SELECTED = 0;
    INTERRUPT_MASK = 0;
    DMA = 0;
    EXTENDED = 0;
    BYTE_ORDER = 0;
    DIVIDER = CLOCK_DIVIDER;
    CONTROL = COMMAND_THEN_RECEIVE | BITS(32);
}

// Receives `words` words from an address; command and address are one word too. The first byte of a
// word is its highest.
static void read_words(uint32_t address, uint8_t *bytes, size_t words) {
    COUNT = words - 1;
    ENABLED = 1;
    DATA = READ | address;
    SELECTED = 1;
    while (words > 0) {
        for (uint32_t level = RECEIVED; level > 0 && words > 0; level--, words--, bytes += WORD) {
            uint32_t word = __builtin_bswap32(DATA);
            memcpy(bytes, &word, WORD);
        }
    }
    while (STATUS & BUSY) {
    }
    SELECTED = 0;
    ENABLED = 0;
}

void flash_read(uint32_t address, void *bytes, size_t length) {
    uint8_t *to = bytes;
    start();
    while (length >= WORD) {
        size_t words = length / WORD;
        if (words > MOST_WORDS) {
            words = MOST_WORDS;
        }
        read_words(address, to, words);
        address += words * WORD;
        to += words * WORD;
        length -= words * WORD;
    }
    if (length > 0) {
        uint8_t last[WORD];
        read_words(address, last, 1);
        memcpy(to, last, length);
    }
}
