//! What this library needs as a static library of a firmware on the chip: memory, panics; and what
//! `image.h` wants of a port, with BMP as the only format.

use core::{
    alloc::{GlobalAlloc, Layout},
    ffi::{CStr, c_char, c_void},
    panic::PanicInfo,
    ptr, slice,
};

use crate::{
    bmp,
    exports::{RawBytes, RawPicture},
};

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
    fn abort() -> !;
}

/// What the firmware's malloc aligns to.
const ALIGNMENT: usize = 16;

/// The firmware's heap.
struct Heap;

// SAFETY: malloc and free keep the promises of an allocator.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match layout.align() <= ALIGNMENT {
            // SAFETY: any size will do.
            true => unsafe { malloc(layout.size()) }.cast(),
            false => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
        unsafe { free(memory.cast()) }
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

/// A fault of this library: the firmware says so and starts anew.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing and does not return.
    unsafe { abort() }
}

/// Reads a picture file's bytes; NULL, or what is wrong.
///
/// # Safety
/// `bytes` are `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn picture_decode(
    bytes: *const u8,
    length: usize,
    picture: &mut RawPicture,
) -> *const c_char {
    // SAFETY: the caller promises it.
    match bmp::decode(unsafe { slice::from_raw_parts(bytes, length) }) {
        Some(decoded) => {
            picture.give(decoded);
            ptr::null()
        }
        None => c"not a BMP picture, which this firmware reads alone".as_ptr(),
    }
}

/// Makes a picture file's bytes; NULL, or what is wrong.
///
/// # Safety
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn picture_encode(
    picture: &RawPicture,
    name: *const c_char,
    encoded: &mut RawBytes,
) -> *const c_char {
    // SAFETY: the caller promises it.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes();
    if !name.to_ascii_lowercase().ends_with(b".bmp") {
        return c"a picture's name ends in .bmp, the only format of this firmware".as_ptr();
    }
    encoded.give(bmp::encode(&picture.view()));
    ptr::null()
}
