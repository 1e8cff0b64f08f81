//! Memory from the host, given back when dropped.

use super::services::{allocate, release};
use crate::error::Result;
use bytemuck::Zeroable;
use core::{
    num::NonZero,
    ops::{Deref, DerefMut},
    ptr::{NonNull, drop_in_place},
    slice,
};

/// Values of memory.
pub(super) struct Block<T> {
    memory: *mut T,
    len: usize,
}

/// Memory of zeros; a pointer that is not to be followed where `bytes` is 0.
#[inline(never)]
fn zeros(bytes: usize, alignment: usize) -> Result<NonNull<u8>> {
    if bytes == 0 {
        return Ok(NonNull::without_provenance(
            NonZero::new(alignment).unwrap_or(NonZero::<usize>::MIN),
        ));
    }
    let memory = allocate(bytes, alignment)?;
    // SAFETY: as many bytes were allocated.
    unsafe { memory.write_bytes(0, bytes) };
    Ok(memory)
}

impl<T: Zeroable> Block<T> {
    /// Memory for `len` values of zeros.
    pub(super) fn new(len: usize) -> Result<Self> {
        Self::aligned(len, align_of::<T>())
    }

    /// The same, at a multiple of `alignment`.
    pub(super) fn aligned(len: usize, alignment: usize) -> Result<Self> {
        let memory = zeros(len.saturating_mul(size_of::<T>()), alignment.max(align_of::<T>()))?;
        Ok(Self { memory: memory.cast().as_ptr(), len })
    }

    /// The memory, for as long as the block is kept.
    ///
    /// # Safety
    /// The block outlives the result, and is not used otherwise while the result lives.
    pub(super) unsafe fn lend<'a>(&mut self) -> &'a mut [T] {
        // SAFETY: allocated with this length; the rest is the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.memory, self.len) }
    }
}

impl<T> Deref for Block<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: allocated and set with this length.
        unsafe { slice::from_raw_parts(self.memory, self.len) }
    }
}

impl<T> DerefMut for Block<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: allocated and set with this length, and owned.
        unsafe { slice::from_raw_parts_mut(self.memory, self.len) }
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        if self.len * size_of::<T>() > 0 {
            // SAFETY: it came from `allocate`, and its owner is gone.
            unsafe { release(self.memory.cast()) }
        }
    }
}

/// A value in memory of its own, for handing it out as a pointer.
pub(super) struct Owned<T>(NonNull<T>);

impl<T> Owned<T> {
    /// Memory for a value that is still to come.
    pub(super) fn place() -> Result<Place<T>> {
        Ok(Place(allocate(size_of::<T>().max(1), align_of::<T>())?.cast()))
    }

    /// The value's address; [`Self::from_raw`] takes it back.
    pub(super) fn into_raw(self) -> *mut T {
        let pointer = self.0.as_ptr();
        core::mem::forget(self);
        pointer
    }

    /// Takes a value back.
    ///
    /// # Safety
    /// `pointer` came from [`Self::into_raw`] and is used no longer.
    pub(super) unsafe fn from_raw(pointer: *mut T) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it holds a value.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: it holds a value, and is owned.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: it holds a value, in memory of `allocate`; the owner is gone.
        unsafe {
            drop_in_place(self.0.as_ptr());
            release(self.0.as_ptr().cast());
        }
    }
}

/// Memory for a value.
pub(super) struct Place<T>(NonNull<T>);

impl<T> Place<T> {
    /// Puts the value there.
    pub(super) fn put(self, value: T) -> Owned<T> {
        let place = self.0;
        core::mem::forget(self);
        // SAFETY: memory of the right size and alignment that nothing else uses.
        unsafe { place.as_ptr().write(value) }
        Owned(place)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        // SAFETY: it came from `allocate` and holds nothing.
        unsafe { release(self.0.as_ptr().cast()) }
    }
}
