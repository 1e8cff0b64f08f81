/* Prints, then echoes in upper case what it receives, by interrupt, until a dot. */
#include "k210.h"

static volatile int stop;

void on_trap(uint64_t cause)
{
    uint64_t pending = read_csr(mip);
    uint32_t source = PLIC_CLAIM, received;
    if (cause != (CAUSE_INTERRUPT | 11) || source != 33 || !(pending & MEIE) || read_csr(mip) & MEIE)
        print("unexpected trap\n");
    while (!((received = UARTHS_RX) >> 31)) {
        put(received >= 'a' && received <= 'z' ? received - 32 : received);
        stop |= received == '.';
    }
    PLIC_CLAIM = source;
}

int main(void)
{
    print("hello from the K210\n");
    if (SYSCTL_PLL_LOCK != ~0u)
        print("a PLL is not locked\n");
    UARTHS_IE = 2;
    interrupt_enable(33);
    while (!stop)
        __asm__ volatile("wfi");
    clear_csr(mstatus, MIE);
    return 0;
}
