//! A Kendryte K210 on a PC: runs firmware, and computes the layers that it gives to the KPU.
//!
//! ```text
//! firmware -> machine (CPU, traps) -> board (address map, time, interrupt lines) -> devices/
//! console  <-> devices/uarths            memory (6 MiB + 2 MiB KPU RAM) <- DMA, KPU
//! ```
//!
//! - [`machine`] runs the CPU until something ends the run, and says what.
//! - [`board`] is everything around the CPU; [`devices`] has one file per peripheral.
//! - [`script`] types a script into the firmware's raw REPL, [`console`] is a terminal.
//!
//! Core 1, the camera and the audio peripherals are not there.

pub mod board;
pub mod console;
pub mod count;
pub mod devices;
pub mod firmware;
pub mod machine;
pub mod memory;
pub mod script;
