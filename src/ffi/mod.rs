//! The C API, as `mpy_bindings/include/maix_kpu.h` describes it: every function there is one here.
//!
//! | what | where |
//! |---|---|
//! | the header's types | [`header`] |
//! | numbers and texts of errors | [`errors`] |
//! | memory, files, time, printing | [`services`] |
//! | one KPU, one owner at a time | [`accelerator`] |
//! | where a model's bytes come from | [`source`] |
//! | models: opening, looking, running | [`model`], [`forward`] |
//! | the names of the original library (feature `dropin`) | `dropin` |
//! | reading answers | [`scores`], [`yolo`], [`classifier`] |
#![allow(unsafe_code)]

pub mod accelerator;
pub mod classifier;
#[cfg(feature = "dropin")]
pub mod dropin;
pub mod errors;
pub mod forward;
pub mod header;
pub mod memory;
pub mod model;
pub mod scores;
pub mod services;
pub mod source;
#[cfg(test)]
mod tests;
pub mod yolo;

use crate::error::{Error, Kind, Result, What};
use core::slice;

/// The error of a pointer that may not be NULL.
fn null(what: What) -> Error {
    Error::of(Kind::Null, what)
}

/// A slice from a pointer and a length; NULL is an empty slice where the length is 0.
///
/// # Safety
/// Where it is not NULL, `data` points to `len` values that stay unchanged while the result lives.
unsafe fn slice_of<'a, T>(what: What, data: *const T, len: usize) -> Result<&'a [T]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(null(what)),
        // SAFETY: the caller's promise; the address is checked.
        _ if data.is_aligned() => Ok(unsafe { slice::from_raw_parts(data, len) }),
        _ => Err(misaligned(what, data.addr(), align_of::<T>())),
    }
}

/// As [`slice_of`], for writing.
///
/// # Safety
/// Where it is not NULL, `data` points to `len` values that nothing else uses while the result lives.
unsafe fn slice_of_mut<'a, T>(what: What, data: *mut T, len: usize) -> Result<&'a mut [T]> {
    match (data.is_null(), len) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(null(what)),
        // SAFETY: the caller's promise; the address is checked.
        _ if data.is_aligned() => Ok(unsafe { slice::from_raw_parts_mut(data, len) }),
        _ => Err(misaligned(what, data.addr(), align_of::<T>())),
    }
}

fn misaligned(what: What, address: usize, align: usize) -> Error {
    Error::about(Kind::MisalignedPointer, what, [address as u64, align as u64])
}

/// What a pointer points to.
///
/// # Safety
/// Where it is not NULL, `pointer` is valid while the result lives.
unsafe fn get<'a, T>(what: What, pointer: *const T) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(what))
}

/// As [`get`], for writing.
///
/// # Safety
/// Where it is not NULL, `pointer` is valid, and nothing else uses it, while the result lives.
unsafe fn get_mut<'a, T>(what: What, pointer: *mut T) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(what))
}
