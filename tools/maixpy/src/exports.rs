//! The functions that `mpy_bindings/desktop` calls. Their header, `desktop.h`, is generated from
//! this file (`tests/header.rs`).
//!
//! Where a function takes a pointer, C promises that it is valid, that it points to as many bytes
//! as the sizes beside it say, and that two pictures given together do not share pixels.

use std::{
    ffi::{CStr, CString, c_char},
    ptr, slice,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use clap::Parser;

use maix_image::exports::{RawBytes, RawPicture};
use maix_kpu::{ffi::accelerator, kpu::Rounding};

use crate::{
    board::Board,
    files,
    options::{Firmware, Options},
};

/// What the command line said; valid for the whole program.
#[repr(C)]
pub struct DesktopOptions {
    /// The script.
    pub script: *const c_char,
    /// What follows it, `argument_count` strings.
    pub arguments: *const *const c_char,
    /// Number of arguments.
    pub argument_count: usize,
    /// Folder of /sd, or NULL.
    pub sd: *const c_char,
    /// Folder of /flash, or NULL.
    pub spiffs: *const c_char,
    /// The names that CanMV's boot script makes, not MaixPy's.
    pub canmv: bool,
    /// Bytes of Python's heap.
    pub heap_bytes: usize,
    /// Bytes of memory for models.
    pub memory_bytes: usize,
}

static BOARD: LazyLock<Mutex<Board>> = LazyLock::new(Default::default);
static ERROR: Mutex<Option<CString>> = Mutex::new(None);

fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps an error for [`desktop_error`].
fn keep<T>(result: Result<T>) -> Option<T> {
    result
        .map_err(|error| {
            let text = CString::new(format!("{error:#}").replace('\0', " ")).unwrap_or_default();
            *ERROR.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        })
        .ok()
}

/// NULL, or the text of the error, valid until the next one.
fn text_of(result: Result<()>) -> *const c_char {
    keep(result).map_or_else(|| desktop_error(), |()| ptr::null())
}

/// Reads the command line and makes the board; ends the program where that is not possible.
///
/// # Safety
/// `argv` are `argc` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_start(
    argc: i32,
    argv: *const *const c_char,
) -> &'static DesktopOptions {
    // SAFETY: the caller promises it.
    let arguments = unsafe { slice::from_raw_parts(argv, argc as usize) };
    let arguments = arguments.iter().map(|&argument| {
        // SAFETY: the caller promises a string.
        unsafe { CStr::from_ptr(argument) }.to_string_lossy().into_owned()
    });
    let options = Options::parse_from(arguments);
    if options.half_up {
        accelerator::set_rounding(Rounding::HalfUp);
    }
    match Board::new(&options) {
        Ok(new) => *board() = new,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(2);
        }
    }
    let string =
        |text: &str| -> *const c_char { CString::new(text).unwrap_or_default().into_raw() };
    let path = |path: &std::path::Path| {
        let path = std::path::absolute(path).unwrap_or(path.to_path_buf());
        string(&path.to_string_lossy())
    };
    let optional = |folder: &Option<_>| folder.as_deref().map_or(ptr::null(), path);
    let arguments: Vec<_> = options.command[1..].iter().map(|a| string(a)).collect();
    Box::leak(Box::new(DesktopOptions {
        script: string(&options.script().to_string_lossy()),
        argument_count: arguments.len(),
        arguments: arguments.leak().as_ptr(),
        sd: optional(&options.sd),
        spiffs: optional(&options.spiffs),
        canmv: options.firmware == Firmware::Canmv,
        heap_bytes: options.heap << 20,
        memory_bytes: options.memory << 20,
    }))
}

/// The text of the last error; valid until the next one.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_error() -> *const c_char {
    ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .as_ref()
        .map_or(c"".as_ptr(), |e| e.as_ptr())
}

/// Reads a picture file's bytes; NULL, or what is wrong.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn picture_decode(
    bytes: *const u8,
    length: usize,
    picture: &mut RawPicture,
) -> *const c_char {
    // SAFETY: C promises that many bytes.
    let bytes = unsafe { slice::from_raw_parts(bytes, length) };
    text_of(files::decode(bytes).map(|decoded| picture.give(decoded)))
}

/// Makes a picture file's bytes; the name's ending says which format. NULL, or what is wrong.
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
    let name = unsafe { CStr::from_ptr(name) };
    let result = name
        .to_str()
        .context("the name is not UTF-8")
        .and_then(|name| files::encode(&picture.view(), name.as_ref()));
    text_of(result.map(|bytes| encoded.give(bytes)))
}

/// Takes a picture with the camera: 1, or 0 when the frames are over, or -1 (an error).
/// `picture` is given back with `picture_release`.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_take(width: u32, height: u32, picture: &mut RawPicture) -> i32 {
    match keep(board().take(width, height)) {
        Some(Some(taken)) => {
            picture.give(taken);
            1
        }
        Some(None) => 0,
        None => -1,
    }
}

/// Shows a frame on the LCD.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_show(picture: &RawPicture) -> bool {
    keep(board().show(&picture.view())).is_some()
}

/// Reads the flash; behind its end everything is erased.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_flash_read(address: usize, bytes: *mut u8, length: usize) {
    // SAFETY: C promises that many bytes.
    board().flash.read(address, unsafe { slice::from_raw_parts_mut(bytes, length) });
}

/// Whether the BOOT key is held down.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_key_is_down() -> bool {
    board().key_is_down()
}
