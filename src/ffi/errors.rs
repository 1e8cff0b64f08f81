//! The last error: its number is what functions return, its text is asked for afterwards.

use super::header::maix_kpu_error_t;
#[cfg(feature = "dropin")]
use crate::error::write_decimal;
use crate::error::{Error, Result, What};
use core::cell::UnsafeCell;
use cty::{c_char, c_int};

/// What the API keeps for all objects. Only one thread at a time may call (see the header), and no
/// borrow outlives the access.
pub(super) struct Global<T>(UnsafeCell<T>);

// SAFETY: the header demands that calls come from one thread at a time.
unsafe impl<T> Sync for Global<T> {}

impl<T: Copy> Global<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(super) fn get(&self) -> T {
        // SAFETY: nobody holds a reference: both functions copy.
        unsafe { *self.0.get() }
    }

    /// Where the value lies.
    ///
    /// # Safety
    /// Nothing calls [`Self::set`] while the result lives.
    pub(super) unsafe fn borrow(&self) -> &T {
        // SAFETY: the caller's promise.
        unsafe { &*self.0.get() }
    }

    pub(super) fn set(&self, value: T) {
        // SAFETY: as in `get`.
        unsafe { *self.0.get() = value }
    }
}

static LAST: Global<Option<Error>> = Global::new(None);

/// Ends a function of the API: its error becomes the last one, and a number.
pub(super) fn wrap(body: impl FnOnce() -> Result<()>) -> c_int {
    code(body())
}

/// The number of an error, which becomes the last one.
#[inline(never)]
pub(super) fn code(result: Result<()>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => {
            LAST.set(Some(error));
            error.code() as c_int
        }
    }
}

/// The last error.
pub(super) fn last() -> Option<Error> {
    LAST.get()
}

/// See the header.
///
/// # Safety
/// `error` points to a place for the error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_last_error(error: *mut maix_kpu_error_t) {
    let number = |place: Option<i64>| place.unwrap_or(-1);
    let mut out = maix_kpu_error_t { code: 0, kind: -1, node: -1, offset: -1 };
    if let Some(last) = last() {
        out.code = last.code() as c_int;
        out.kind = last.kind() as i32;
        out.node = number(last.node().map(i64::from)) as i32;
        out.offset = number(last.offset().map(|offset| offset as i64));
    }
    // SAFETY: the caller's promise; NULL is left alone.
    if let Some(error) = unsafe { error.as_mut() } {
        *error = out;
    }
}

/// See the header.
///
/// # Safety
/// `text` points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_error_text(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the caller's promise.
    let mut text = unsafe { Text::new(text, size) };
    if let Some(error) = last() {
        error.write(&mut |byte| text.push(byte));
    }
    text.length
}

/// See the header.
///
/// # Safety
/// `text` points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn maix_kpu_error_hint(text: *mut c_char, size: usize) -> usize {
    // SAFETY: the caller's promise.
    let mut text = unsafe { Text::new(text, size) };
    if let Some(error) = last() {
        error.write_hint(&mut |byte| text.push(byte));
    }
    text.length
}

/// A C string of limited size that is always ended.
pub(super) struct Text<'t> {
    bytes: &'t mut [u8],
    /// Bytes of the whole text.
    pub(super) length: usize,
}

impl Text<'_> {
    /// An empty text.
    ///
    /// # Safety
    /// `text` points to `size` bytes, or is NULL.
    unsafe fn new(text: *mut c_char, size: usize) -> Self {
        // SAFETY: the caller's promise.
        Self::of(
            unsafe { super::slice_of_mut(What::Nothing, text.cast::<u8>(), size) }
                .unwrap_or_default(),
        )
    }

    /// An empty text in `bytes`.
    pub(super) fn of(bytes: &mut [u8]) -> Text<'_> {
        if let Some(end) = bytes.first_mut() {
            *end = 0;
        }
        Text { bytes, length: 0 }
    }

    /// What there was room for.
    #[cfg(feature = "dropin")]
    pub(super) fn written(&self) -> &[u8] {
        let end = self.length.min(self.bytes.len().saturating_sub(1));
        self.bytes.get(..end).unwrap_or_default()
    }

    /// Appends a text.
    #[inline(never)]
    pub(super) fn write(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.push(byte));
    }

    /// Appends a number, in decimal digits.
    #[cfg(feature = "dropin")]
    #[inline(never)]
    pub(super) fn write_number(&mut self, number: u64) {
        write_decimal(number, &mut |byte| self.push(byte));
    }

    /// Appends a byte, if there is room for it.
    pub(super) fn push(&mut self, byte: u8) {
        if let Some([place, end]) = self.bytes.get_mut(self.length..self.length + 2) {
            (*place, *end) = (byte, 0);
        }
        self.length += 1;
    }
}
