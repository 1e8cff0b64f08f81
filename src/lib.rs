//! Runs Kendryte K210 kmodels: on the chip's neural accelerator (KPU), and bit for bit on a PC.
//!
//! ```text
//! bytes -> model -> session --+--> kernels/   (CPU operators)
//!             ^               +--> kpu/       (Accelerator: hardware | simulator)
//! image/list -> input --------^               -> output -> vision/
//! ```
//!
//! - [`model`] turns the bytes of a file into checked nodes.
//! - [`session`] walks the nodes once per `forward`.
//! - [`kernels`] holds the operators that the CPU computes, [`kpu`] the accelerator.
//! - `ffi`, with the feature of that name, is the C API (mpy_bindings/include/maix_kpu.h).
//! - [`input`] turns pictures and lists into what a model wants, [`vision`] reads answers from outputs.
#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(target_os = "none", feature(core_float_math))]
#![deny(unsafe_code)]

pub mod crc;
pub mod error;
#[cfg(feature = "ffi")]
pub mod ffi;
pub mod input;
pub mod kernels;
pub mod kpu;
mod level;
pub mod math;
pub mod model;
#[cfg(all(target_os = "none", feature = "firmware"))]
mod panic;
#[cfg(target_os = "none")]
mod save_restore;
pub mod session;
pub mod tensor;
pub mod vision;
mod words;
