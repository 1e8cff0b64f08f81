//! What stands behind module `image` on a PC and on the chip: pictures with the firmware's exact
//! conversions, without a file system. `image.c` calls it through [`exports`].
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod affine;
pub mod bmp;
#[cfg(target_os = "none")]
mod chip;
pub mod draw;
pub mod exports;
pub mod font;
pub mod picture;
pub mod pixel;
pub mod resize;
