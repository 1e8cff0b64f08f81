//! The peripherals, one file each. Registers are 32 bits wide; offsets count from a device's base.
//!
//! A device knows its own registers and state. What needs RAM or another device (DMA transfers,
//! the KPU's parameters, interrupt lines) is done by the [board](crate::board).

pub mod clint;
pub mod dmac;
pub mod flash;
pub mod kpu;
pub mod otp;
pub mod plic;
pub mod sha256;
pub mod spi;
pub mod sysctl;
pub mod uarths;
