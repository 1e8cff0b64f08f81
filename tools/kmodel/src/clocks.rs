//! Options that say at which clocks time is estimated.

use clap::{Args, value_parser};
use kmodel_compiler::estimate::Clocks;

/// Clocks of the chip.
#[derive(Args, Clone, Copy)]
pub struct ClockOptions {
    /// Clock of the CPU that the estimate of time assumes, in MHz
    #[arg(long, default_value_t = Clocks::USUAL.cpu_mhz, value_name = "MHZ", value_parser = value_parser!(u32).range(1..))]
    cpu_mhz: u32,
    /// Clock of the KPU that the estimate of time assumes, in MHz
    #[arg(long, default_value_t = Clocks::USUAL.kpu_mhz, value_name = "MHZ", value_parser = value_parser!(u32).range(1..))]
    kpu_mhz: u32,
}

impl ClockOptions {
    /// The clocks that are meant.
    pub fn clocks(self) -> Clocks {
        Clocks { cpu_mhz: self.cpu_mhz, kpu_mhz: self.kpu_mhz }
    }
}
