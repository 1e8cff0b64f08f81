// The K210 as far as this port uses it: registers, interrupts, time, flash.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHIP_REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define SYSCTL(offset) CHIP_REGISTER(0x50440000 + (offset))

// Frequencies that chip_start_clocks sets up: PLL0 from the 26 MHz crystal, half of it for the CPU,
// the timer a fiftieth of that; PLL1 for the KPU.
#define CHIP_PLL0_HZ 780000000
#define CHIP_CPU_HZ (CHIP_PLL0_HZ / 2)
#define CHIP_KPU_HZ 390000000
#define CHIP_TIMER_HZ (CHIP_CPU_HZ / 50)

#define CHIP_FLASH_BYTES (16 * 1024 * 1024)

// clock.c
void chip_start_clocks(void);
uint64_t chip_ticks(void); // of the timer
uint64_t chip_microseconds(void);
uint64_t chip_cycles(void);
// Sleeps until an interrupt, or as long as it says (negative: for ever).
void chip_sleep(int milliseconds);

// chip.c
uintptr_t chip_disable_interrupts(void);
void chip_restore_interrupts(uintptr_t state);
void chip_enable_interrupts(void);
_Noreturn void chip_reset(void);

// serial.c: the console
void serial_start(void);
void serial_interrupt(void);
bool serial_has_input(void);
// Everything at once, past Python, for a last word.
void serial_say(const char *text);

// flash.c
void flash_read(uint32_t address, void *bytes, size_t length);
