//! The C program behind the test: `exercise.c`, linked with the library.

use maix_kpu as _;

/// A model for the C program; null and 0 where it is not to be used.
#[repr(C)]
pub struct Model {
    /// Its bytes.
    pub bytes: *const u8,
    /// How many.
    pub length: usize,
}

unsafe extern "C" {
    /// Calls every function with the model. The allocation numbered `fail_at` (from 0) fails.
    /// Returns 0, or the line of `exercise.c` that found something wrong; `allocations` becomes the
    /// number of allocations asked for.
    pub fn exercise(model: *const Model, fail_at: usize, allocations: *mut usize) -> i32;
}
