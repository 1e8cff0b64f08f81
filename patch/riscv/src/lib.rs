//! The one function of `riscv` 0.5 that `k210-pac` calls.
//!
//! The original crate links an archive prebuilt for another float ABI than the firmware's.
#![no_std]

/// Critical sections.
pub mod interrupt {
    /// Runs `f` with the machine's interrupts off; gives it nothing to hold on to.
    pub fn free<R>(f: impl FnOnce(()) -> R) -> R {
        #[cfg(target_arch = "riscv64")]
        {
            const MIE: usize = 1 << 3;
            let before: usize;
            // SAFETY: clears one flag of a machine register; memory and stack stay as they are.
            unsafe { core::arch::asm!("csrrci {}, mstatus, 8", out(reg) before) };
            let result = f(());
            if before & MIE != 0 {
                // SAFETY: sets the flag that was set when we came.
                unsafe { core::arch::asm!("csrsi mstatus, 8") };
            }
            result
        }
        #[cfg(not(target_arch = "riscv64"))]
        f(())
    }
}
