//! What functions call to save and restore registers, instead of doing so each for itself: the
//! target has `+save-restore`, and the C library of a firmware need not have these.
//!
//! `__riscv_save_N` is called with its return address in t0 and stores ra and the first N of
//! s0 to s11 below the stack pointer, `__riscv_restore_N` loads them and returns to the caller's
//! caller. An even N takes one register more, into the space that alignment leaves.

#![allow(unsafe_code)]

use core::arch::global_asm;

macro_rules! save_restore {
    ($($names:literal: $bytes:literal, $($register:literal $offset:literal)*;)*) => {
        global_asm!(
            ".pushsection .text.save_restore, \"ax\", @progbits",
            $(
                concat!(".irp n, ", $names, "\n.globl __riscv_save_\\n\n__riscv_save_\\n:\n.endr"),
                concat!("addi sp, sp, -", $bytes),
                $(concat!("sd ", $register, ", ", $offset, "(sp)"),)*
                "jr t0",
                concat!(".irp n, ", $names, "\n.globl __riscv_restore_\\n\n__riscv_restore_\\n:\n.endr"),
                $(concat!("ld ", $register, ", ", $offset, "(sp)"),)*
                concat!("addi sp, sp, ", $bytes),
                "ret",
            )*
            ".popsection",
        );
    };
}

save_restore! {
    "0, 1": 16, "ra" 8 "s0" 0;
    "2, 3": 32, "ra" 24 "s0" 16 "s1" 8 "s2" 0;
    "4, 5": 48, "ra" 40 "s0" 32 "s1" 24 "s2" 16 "s3" 8 "s4" 0;
    "6, 7": 64, "ra" 56 "s0" 48 "s1" 40 "s2" 32 "s3" 24 "s4" 16 "s5" 8 "s6" 0;
    "8, 9": 80, "ra" 72 "s0" 64 "s1" 56 "s2" 48 "s3" 40 "s4" 32 "s5" 24 "s6" 16 "s7" 8 "s8" 0;
    "10, 11": 96, "ra" 88 "s0" 80 "s1" 72 "s2" 64 "s3" 56 "s4" 48 "s5" 40 "s6" 32 "s7" 24 "s8" 16
        "s9" 8 "s10" 0;
    "12": 112, "ra" 104 "s0" 96 "s1" 88 "s2" 80 "s3" 72 "s4" 64 "s5" 56 "s6" 48 "s7" 40 "s8" 32
        "s9" 24 "s10" 16 "s11" 8;
}
