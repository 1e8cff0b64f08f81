//! What the firmware gives: memory, files, flash, the clock and the console.

use super::super::{errors::Global, header::maix_kpu_services_t, services};
use core::ptr::null_mut;
use cty::{c_char, c_int, c_void};

/// MicroPython's `mp_print_t`.
#[repr(C)]
pub(super) struct Console {
    pub data: *mut c_void,
    pub write: Option<unsafe extern "C" fn(data: *mut c_void, text: *const c_char, length: usize)>,
}

// SAFETY: the firmware's constant, which is only read.
unsafe impl Sync for Console {}

unsafe extern "C" {
    static mp_plat_print: Console;
    fn malloc(bytes: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
    fn sysctl_get_time_us() -> u64;
    fn vfs_internal_open(
        path: *const c_char,
        mode: *const c_char,
        error: *mut c_int,
    ) -> *mut c_void;
    fn vfs_internal_read(
        file: *mut c_void,
        data: *mut c_void,
        length: usize,
        error: *mut c_int,
    ) -> usize;
    fn vfs_internal_write(
        file: *mut c_void,
        data: *const c_void,
        length: usize,
        error: *mut c_int,
    ) -> usize;
    fn vfs_internal_seek(file: *mut c_void, offset: isize, from: u8, error: *mut c_int) -> usize;
    fn vfs_internal_size(file: *mut c_void) -> usize;
    fn vfs_internal_close(file: *mut c_void, error: *mut c_int);
    fn w25qxx_read_data_dma(address: u32, data: *mut u8, length: u32, mode: c_int) -> c_int;
}

/// Bytes of the largest flash memory that boards have.
const FLASH_BYTES: u32 = 16 << 20;
/// `w25qxx_read_data_dma` reads with four wires.
const QUAD_FAST: c_int = 5;
/// `vfs_internal_seek` counts from the begin.
const FROM_BEGIN: u8 = 0;

/// Takes the firmware's services, unless it has called `maix_kpu_start` itself.
#[inline(never)]
pub(super) fn start() {
    services::start_unless_started(&maix_kpu_services_t {
        context: null_mut(),
        allocate: Some(allocate),
        release: Some(release),
        print: Some(print),
        microseconds: Some(microseconds),
        interrupted: None,
        open_file: Some(open_file),
        read_file: Some(read_file),
        close_file: Some(close_file),
        read_flash: Some(read_flash),
        flash_size: FLASH_BYTES,
    });
}

/// Memory of `malloc` with its own address in front.
unsafe extern "C" fn allocate(_: *mut c_void, bytes: usize, alignment: usize) -> *mut c_void {
    const FRONT: usize = size_of::<*mut c_void>();
    let alignment = alignment.max(FRONT);
    let Some(whole) = bytes.checked_add(alignment + FRONT) else { return null_mut() };
    // SAFETY: the C library's function.
    let memory = unsafe { malloc(whole) };
    if memory.is_null() {
        return memory;
    }
    let behind = memory.wrapping_byte_add(FRONT);
    let aligned = behind.wrapping_byte_add(behind.addr().wrapping_neg() & (alignment - 1));
    // SAFETY: inside the memory, between its begin and what is given out, at a multiple of FRONT.
    unsafe { aligned.cast::<*mut c_void>().wrapping_sub(1).write(memory) };
    aligned
}

unsafe extern "C" fn release(_: *mut c_void, memory: *mut c_void) {
    // SAFETY: `allocate` gave it, with the C library's address in front.
    unsafe { free(memory.cast::<*mut c_void>().wrapping_sub(1).read()) }
}

unsafe extern "C" fn print(_: *mut c_void, text: *const c_char, length: usize) {
    // SAFETY: the firmware's console, which takes any text.
    unsafe {
        if let Console { data, write: Some(write) } = &mp_plat_print {
            write(*data, text, length);
            write(*data, c"\r\n".as_ptr(), 2);
        }
    }
}

unsafe extern "C" fn microseconds(_: *mut c_void) -> u64 {
    // SAFETY: reads a clock.
    unsafe { sysctl_get_time_us() }
}

/// C's number for an error of a file.
pub(super) const EIO: c_int = 5;
/// Why a file could not be opened the last time.
static OPEN_ERROR: Global<c_int> = Global::new(EIO);

/// C's number for why a file could not be opened the last time.
pub(super) fn open_error() -> c_int {
    OPEN_ERROR.get()
}

/// Opens a file in a mode of C's fopen; NULL where that fails.
///
/// # Safety
/// Both are C strings.
unsafe fn open(path: *const c_char, mode: *const c_char) -> *mut c_void {
    let mut error = 0;
    // SAFETY: the caller's promise.
    let file = unsafe { vfs_internal_open(path, mode, &raw mut error) };
    if error == 0 {
        return file;
    }
    OPEN_ERROR.set(error);
    null_mut()
}

unsafe extern "C" fn open_file(
    _: *mut c_void,
    path: *const c_char,
    size: *mut usize,
) -> *mut c_void {
    // SAFETY: the path is a C string, the file was opened, the size is the library's own.
    unsafe {
        let file = open(path, c"rb".as_ptr());
        if !file.is_null() {
            *size = vfs_internal_size(file);
        }
        file
    }
}

unsafe extern "C" fn read_file(
    _: *mut c_void,
    file: *mut c_void,
    offset: usize,
    bytes: *mut c_void,
    length: usize,
) -> bool {
    let mut error = 0;
    let Ok(offset) = isize::try_from(offset) else { return false };
    // SAFETY: the file is open, and the bytes are the library's own.
    unsafe {
        vfs_internal_seek(file, offset, FROM_BEGIN, &raw mut error);
        error == 0 && vfs_internal_read(file, bytes, length, &raw mut error) == length
    }
}

unsafe extern "C" fn close_file(_: *mut c_void, file: *mut c_void) {
    let mut error = 0;
    // SAFETY: the file is open.
    unsafe { vfs_internal_close(file, &raw mut error) }
}

unsafe extern "C" fn read_flash(
    _: *mut c_void,
    address: u32,
    bytes: *mut c_void,
    length: usize,
) -> bool {
    let Ok(length) = u32::try_from(length) else { return false };
    // SAFETY: the bytes are the library's own.
    unsafe { w25qxx_read_data_dma(address, bytes.cast(), length, QUAD_FAST) == 0 }
}

/// A file to write, closed when dropped.
pub(super) struct Output(*mut c_void);

impl Output {
    /// Makes an empty file.
    ///
    /// # Safety
    /// `path` is a C string.
    pub(super) unsafe fn create(path: *const c_char) -> Option<Self> {
        // SAFETY: the caller's promise.
        let file = unsafe { open(path, c"wb".as_ptr()) };
        (!file.is_null()).then(|| Self(file))
    }

    /// Appends to the file; whether all was written.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        let mut error = 0;
        // SAFETY: the file is open, and the firmware only reads the bytes.
        let written = unsafe {
            vfs_internal_write(self.0, bytes.as_ptr().cast(), bytes.len(), &raw mut error)
        };
        written == bytes.len() && error == 0
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: opened by `create`, closed once.
        unsafe { close_file(null_mut(), self.0) }
    }
}
