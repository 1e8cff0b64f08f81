//! A firmware of our own: files, flash and a console in memory.

use core::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr::null_mut,
    slice,
};
use maix_kpu::ffi::services::maix_kpu_stop;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

/// MicroPython's `mp_print_t`.
#[repr(C)]
struct Console {
    data: *mut c_void,
    write: unsafe extern "C" fn(data: *mut c_void, text: *const c_char, length: usize),
}

// SAFETY: never written.
unsafe impl Sync for Console {}

/// What the firmware has.
#[derive(Default)]
pub struct Firmware {
    pub files: HashMap<String, Vec<u8>>,
    pub flash: Vec<u8>,
    pub console: String,
    pub open_files: usize,
    /// Whether flash and files cannot be read.
    pub broken: bool,
}

static FIRMWARE: Mutex<Option<Firmware>> = Mutex::new(None);
/// The library is for one thread at a time.
static TURN: Mutex<()> = Mutex::new(());

pub fn firmware<R>(body: impl FnOnce(&mut Firmware) -> R) -> R {
    body(FIRMWARE.lock().unwrap().get_or_insert_default())
}

/// A new firmware with a new KPU, for as long as the result is kept.
pub fn boot() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    maix_kpu_stop();
    firmware(|firmware| *firmware = Firmware::default());
    turn
}

/// What was printed since the last call.
pub fn printed() -> String {
    firmware(|firmware| core::mem::take(&mut firmware.console))
}

struct File {
    path: String,
    at: usize,
}

unsafe extern "C" fn write_console(_: *mut c_void, text: *const c_char, length: usize) {
    // SAFETY: the library prints what is there.
    let text = unsafe { slice::from_raw_parts(text.cast::<u8>(), length) };
    firmware(|firmware| firmware.console.push_str(str::from_utf8(text).unwrap()));
}

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
static mp_plat_print: Console = Console { data: null_mut(), write: write_console };

#[unsafe(no_mangle)]
extern "C" fn sysctl_get_time_us() -> u64 {
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vfs_internal_open(
    path: *const c_char,
    mode: *const c_char,
    error: *mut c_int,
) -> *mut c_void {
    // SAFETY: the library's strings and its own variable.
    let (path, mode) = unsafe {
        *error = 0;
        (CStr::from_ptr(path).to_str().unwrap().to_owned(), CStr::from_ptr(mode))
    };
    firmware(|firmware| {
        match mode.to_bytes() {
            b"wb" if path.starts_with("/sd/") => {
                firmware.files.insert(path.clone(), Vec::new());
            }
            b"rb" if firmware.files.contains_key(&path) => {}
            _ => {
                // SAFETY: as above.
                unsafe { *error = if path.starts_with("/sd/") { 5 } else { 2 } };
                return null_mut();
            }
        }
        firmware.open_files += 1;
        Box::into_raw(Box::new(File { path, at: 0 })).cast()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vfs_internal_read(
    file: *mut c_void,
    data: *mut c_void,
    length: usize,
    error: *mut c_int,
) -> usize {
    // SAFETY: a file of ours, and the library's own memory.
    let (file, out) = unsafe {
        *error = 0;
        (&mut *file.cast::<File>(), slice::from_raw_parts_mut(data.cast::<u8>(), length))
    };
    firmware(|firmware| {
        let bytes = firmware.files[&file.path].get(file.at..).unwrap_or_default();
        let count = if firmware.broken { 0 } else { bytes.len().min(length) };
        out[..count].copy_from_slice(&bytes[..count]);
        file.at += count;
        count
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vfs_internal_write(
    file: *mut c_void,
    data: *const c_void,
    length: usize,
    error: *mut c_int,
) -> usize {
    // SAFETY: a file of ours, and the library's own memory.
    let (file, bytes) = unsafe {
        *error = 0;
        (&*file.cast::<File>(), slice::from_raw_parts(data.cast::<u8>(), length))
    };
    firmware(|firmware| {
        let count = if firmware.broken { length / 2 } else { length };
        firmware.files.get_mut(&file.path).unwrap().extend(&bytes[..count]);
        count
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vfs_internal_seek(
    file: *mut c_void,
    offset: isize,
    from: u8,
    error: *mut c_int,
) -> usize {
    assert_eq!(from, 0);
    // SAFETY: a file of ours, and the library's own variable.
    unsafe {
        *error = 0;
        (*file.cast::<File>()).at = offset as usize;
    }
    offset as usize
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vfs_internal_size(file: *mut c_void) -> usize {
    // SAFETY: a file of ours.
    let path = unsafe { &(*file.cast::<File>()).path };
    firmware(|firmware| firmware.files[path].len())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn vfs_internal_close(file: *mut c_void, error: *mut c_int) {
    // SAFETY: a file of ours, closed once, and the library's own variable.
    unsafe {
        *error = 0;
        drop(Box::from_raw(file.cast::<File>()));
    }
    firmware(|firmware| firmware.open_files -= 1);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn w25qxx_read_data_dma(
    address: u32,
    data: *mut u8,
    length: u32,
    mode: c_int,
) -> c_int {
    assert_eq!(mode, 5);
    // SAFETY: the library's own memory.
    let out = unsafe { slice::from_raw_parts_mut(data, length as usize) };
    firmware(|firmware| {
        for (out, at) in out.iter_mut().zip(address as usize..) {
            *out = firmware.flash.get(at).copied().unwrap_or(0xFF);
        }
        if firmware.broken { 2 } else { 0 }
    })
}
