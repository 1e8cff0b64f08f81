/* Says why it starts, and resets the chip once, with an interrupt line raised and data changed. */
#include "k210.h"

static volatile int changed = 1;

void on_trap(uint64_t cause)
{
    (void)cause;
    print("unexpected trap\n");
}

int main(void)
{
    if (changed != 1)
        print("data are old\n");
    if (SYSCTL_RESET_STATUS >> 4 & 1) {
        print("reset\n");
        return 0;
    }
    print("power\n");
    changed = 2;
    CLINT_MTIMECMP = 0;
    SYSCTL_SOFT_RESET = 1;
    for (;;)
        ;
}
