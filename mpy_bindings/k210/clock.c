// Clocks, and what they tell.

#include "chip.h"

#define MTIMECMP (*(volatile uint64_t *)0x02004000)
#define MTIME (*(volatile uint64_t *)0x0200BFF8)

#define SYSCTL_PLL(n) SYSCTL(0x08 + 4 * (n))
#define SYSCTL_PLL_LOCK SYSCTL(0x18)
#define SYSCTL_CLOCK_SELECT SYSCTL(0x20)
#define SYSCTL_THRESHOLD0 SYSCTL(0x38)

#define PLL_RESET (1u << 20)
#define PLL_POWER (1u << 21)
#define PLL_BYPASS (1u << 23)
#define PLL_ENABLE (1u << 25)

#define CPU_FROM_PLL0 1u
#define CPU_DIVIDER (3u << 1)
#define KPU_DIVIDER (15u << 8)

#define MIE_TIMER (1u << 7)

// Waits for some turns of a loop, longer than a PLL's 1 microsecond reset at any frequency.
static void pause(void) {
    for (volatile int i = 0; i < 1000; i++) {
    }
}

// Makes a PLL multiply the crystal by `multiplier` and divide by `divider`.
static void start_pll(int number, uint32_t multiplier, uint32_t divider) {
    uint32_t settings = (multiplier - 1) << 4 | (divider - 1) << 10 | (multiplier - 1) << 14;
    SYSCTL_PLL(number) = settings | PLL_BYPASS;
    SYSCTL_PLL(number) = settings | PLL_BYPASS | PLL_POWER;
    pause();
    SYSCTL_PLL(number) = settings | PLL_BYPASS | PLL_POWER | PLL_RESET;
    pause();
    SYSCTL_PLL(number) = settings | PLL_BYPASS | PLL_POWER;
    uint32_t locked = 3u << (8 * number);
    while ((SYSCTL_PLL_LOCK & locked) != locked) {
        SYSCTL_PLL_LOCK |= 1u << (8 * number + 2); // forget that it slipped
    }
    SYSCTL_PLL(number) = settings | PLL_POWER | PLL_ENABLE;
}

void chip_start_clocks(void) {
    SYSCTL_CLOCK_SELECT &= ~CPU_FROM_PLL0; // the crystal
    start_pll(0, 60, 2);
    start_pll(1, 60, 4);
    SYSCTL_THRESHOLD0 &= ~KPU_DIVIDER;
    SYSCTL_CLOCK_SELECT = (SYSCTL_CLOCK_SELECT & ~CPU_DIVIDER) | CPU_FROM_PLL0;
}

uint64_t chip_ticks(void) {
    return MTIME;
}

uint64_t chip_microseconds(void) {
    // CHIP_TIMER_HZ is 7.8 MHz.
    return MTIME * 5 / (CHIP_TIMER_HZ / 200000);
}

uint64_t chip_cycles(void) {
    uint64_t cycles;
    __asm__ volatile ("csrr %0, mcycle" : "=r" (cycles));
    return cycles;
}

void chip_sleep(int milliseconds) {
    // An interrupt that comes from here on ends `wfi` although it is not taken before the end.
    uintptr_t state = chip_disable_interrupts();
    if (!serial_has_input()) {
        if (milliseconds >= 0) {
            MTIMECMP = MTIME + (uint64_t)milliseconds * (CHIP_TIMER_HZ / 1000);
            __asm__ volatile ("csrs mie, %0" : : "r" (MIE_TIMER));
        }
        __asm__ volatile ("wfi" : : : "memory");
        __asm__ volatile ("csrc mie, %0" : : "r" (MIE_TIMER));
    }
    chip_restore_interrupts(state);
}
