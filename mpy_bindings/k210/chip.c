// Interrupts, crashes, reset.

#include "chip.h"

#define PLIC_CLAIM CHIP_REGISTER(0x0C200004)

#define MSTATUS_MIE (1u << 3)
#define MIE_EXTERNAL (1u << 11)
#define CAUSE_EXTERNAL (1ull << 63 | 11)

#define read_csr(csr) ({ uintptr_t value; __asm__ volatile ("csrr %0, " #csr : "=r" (value)); value; })

uintptr_t chip_disable_interrupts(void) {
    uintptr_t state;
    __asm__ volatile ("csrrci %0, mstatus, 8" : "=r" (state) : : "memory");
    return state & MSTATUS_MIE;
}

void chip_restore_interrupts(uintptr_t state) {
    __asm__ volatile ("csrs mstatus, %0" : : "r" (state) : "memory");
}

void chip_enable_interrupts(void) {
    __asm__ volatile ("csrs mie, %0" : : "r" (MIE_EXTERNAL) : "memory");
    chip_restore_interrupts(MSTATUS_MIE);
}

void chip_reset(void) {
    SYSCTL(0x30) = 1;
    for (;;) {
        __asm__ volatile ("wfi");
    }
}

static void say_number(const char *name, uintptr_t number) {
    char digits[sizeof(" 0x0123456789abcdef")] = " 0x";
    for (int i = 0; i < 16; i++) {
        digits[3 + i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    }
    serial_say(name);
    serial_say(digits);
}

// A fault of the firmware: tells what it was, and starts anew.
static _Noreturn void crash(uintptr_t cause) {
    say_number("\r\nfirmware fault: cause", cause);
    say_number(", pc", read_csr(mepc));
    say_number(", address", read_csr(mtval));
    serial_say("; restarting\r\n");
    chip_reset();
}

__attribute__((interrupt("machine"), aligned(4))) void chip_trap(void) {
    uintptr_t cause = read_csr(mcause);
    if (cause != CAUSE_EXTERNAL) {
        crash(cause);
    }
    uint32_t source = PLIC_CLAIM;
    serial_interrupt(); // the only source that is switched on
    PLIC_CLAIM = source;
}
