/* The registers and helpers that the test programs share. */
#include <stddef.h>
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define REG64(address) (*(volatile uint64_t *)(uintptr_t)(address))

#define CLINT_MTIMECMP REG64(0x02004000)
#define CLINT_MTIME REG64(0x0200BFF8)

#define PLIC_PRIORITY(n) REG(0x0C000000 + 4 * (n))
#define PLIC_ENABLE(n) REG(0x0C002000 + (n) / 32 * 4)
#define PLIC_CLAIM REG(0x0C200004)

#define UARTHS_TX REG(0x38000000)
#define UARTHS_RX REG(0x38000004)
#define UARTHS_IE REG(0x38000010)

#define KPU_FIFO REG64(0x40800000)
#define KPU_INT_STATUS REG64(0x40800008)
#define KPU_INT_RAW REG64(0x40800010)
#define KPU_INT_MASK REG64(0x40800018)
#define KPU_INT_CLEAR REG64(0x40800020)
#define KPU_THRESHOLD REG64(0x40800028)
#define KPU_DATA_OUT 0x40800030
#define KPU_EIGHT_BIT REG64(0x40800040)
#define KPU_RAM ((volatile uint8_t *)0x40600000)

#define DMAC_CFG REG64(0x50000010)
#define DMAC_CHEN REG64(0x50000018)
#define DMAC_CH(n) (0x50000100 + 0x100 * (n))
#define DMA_WIDTH_32 2
#define DMA_WIDTH_64 3
enum { DMA_MEMORY_TO_MEMORY, DMA_MEMORY_TO_DEVICE, DMA_DEVICE_TO_MEMORY };

#define SYSCTL_PLL_LOCK REG(0x50440018)
#define SYSCTL_PERI_RESET REG(0x50440034)
#define SYSCTL_SOFT_RESET REG(0x50440030)
#define SYSCTL_RESET_STATUS REG(0x50440060)
#define SYSCTL_DMA_SELECT0 REG(0x50440064)
enum { REQUEST_SPI3_RX = 6, REQUEST_SPI3_TX = 7, REQUEST_KPU = 22 };

#define SPI3(offset) REG(0x54000000 + (offset))
#define SPI3_DATA 0x54000060
enum {
    SPI_CTRLR0 = 0x00,
    SPI_CTRLR1 = 0x04,
    SPI_ENABLE = 0x08,
    SPI_SELECT = 0x10,
    SPI_TX_LEVEL = 0x20,
    SPI_RX_LEVEL = 0x24,
    SPI_STATUS = 0x28,
    SPI_DMA = 0x4C,
    SPI_CTRLR_ENHANCED = 0xF4,
    SPI_ENDIAN = 0x118,
};

#define set_csr(csr, bits) __asm__ volatile("csrs " #csr ", %0" ::"r"(bits))
#define clear_csr(csr, bits) __asm__ volatile("csrc " #csr ", %0" ::"r"(bits))
#define read_csr(csr) ({ uint64_t v; __asm__ volatile("csrr %0, " #csr : "=r"(v)); v; })

#define MIE 8u
#define MTIE (1u << 7)
#define MEIE (1u << 11)
#define CAUSE_INTERRUPT (1ull << 63)

void on_trap(uint64_t cause);

static inline void put(char c)
{
    while (UARTHS_TX >> 31)
        ;
    UARTHS_TX = (uint8_t)c;
}

static inline void print(const char *text)
{
    while (*text)
        put(*text++);
}

static inline void print_hex(uint64_t value, int digits)
{
    while (digits--)
        put("0123456789abcdef"[value >> (4 * digits) & 15]);
}

static inline void print_bytes(const volatile uint8_t *bytes, size_t count)
{
    while (count--)
        print_hex(*bytes++, 2);
    put('\n');
}

/* Waits for a byte. */
static inline uint8_t get(void)
{
    for (;;) {
        uint32_t received = UARTHS_RX;
        if (!(received >> 31))
            return received;
    }
}

static inline void dma_connect(int channel, uint32_t request)
{
    uint32_t select = SYSCTL_DMA_SELECT0;
    SYSCTL_DMA_SELECT0 = (select & ~(63u << (6 * channel))) | request << (6 * channel);
}

/* Starts a transfer; a side that is a device stays at its address. */
static inline void dma_start(int channel, int flow, uintptr_t from, uintptr_t to, int width, uint32_t elements)
{
    uintptr_t base = DMAC_CH(channel);
    uint64_t fixed_from = flow == DMA_DEVICE_TO_MEMORY, fixed_to = flow == DMA_MEMORY_TO_DEVICE;
    REG64(base + 0x98) = ~0u;
    REG64(base + 0x00) = from;
    REG64(base + 0x08) = to;
    REG64(base + 0x10) = elements - 1;
    REG64(base + 0x18) = fixed_from << 4 | fixed_to << 6 | width << 8 | width << 11;
    REG64(base + 0x20) = (uint64_t)flow << 32;
    DMAC_CFG = 3;
    __asm__ volatile("" ::: "memory");
    DMAC_CHEN = 0x101ull << channel;
}

static inline void dma_wait(int channel)
{
    while (DMAC_CHEN >> channel & 1)
        ;
    __asm__ volatile("" ::: "memory");
}

static inline void interrupt_enable(int source)
{
    PLIC_PRIORITY(source) = 1;
    PLIC_ENABLE(source) |= 1u << source % 32;
    set_csr(mie, MEIE);
    set_csr(mstatus, MIE);
}
