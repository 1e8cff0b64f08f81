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

use crate::{
    affine::{self, Planes, Rotation},
    board::Board,
    files,
    font::Font,
    options::{Firmware, Options},
    picture::{self, Format, Picture},
    pixel, resize,
};

/// A picture: lines one after the other, no padding.
#[repr(C)]
pub struct DesktopPicture {
    /// Pixels of a line, > 0.
    pub width: i32,
    /// Lines, > 0.
    pub height: i32,
    /// 1: gray; 2: RGB565, high byte first.
    pub bytes_per_pixel: i32,
    /// width * height * bytes_per_pixel bytes.
    pub pixels: *mut u8,
}

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

/// A colour and a way to draw.
#[repr(C)]
pub struct DesktopPen {
    /// The stored value: gray or RGB565.
    pub value: u16,
    /// Pixels.
    pub thickness: u32,
    /// Fill the shape.
    pub fill: bool,
}

/// How text is drawn.
#[repr(C)]
pub struct DesktopText {
    /// The text, UTF-8.
    pub text: *const c_char,
    /// Bytes of the text.
    pub length: usize,
    /// Left of the first character.
    pub x: i32,
    /// Top of the first character.
    pub y: i32,
    /// The stored value of the colour.
    pub value: u16,
    /// Enlarges the characters.
    pub scale: f32,
    /// More pixels between characters.
    pub x_spacing: i32,
    /// More pixels between lines.
    pub y_spacing: i32,
}

/// How a picture is turned: degrees and pixels.
#[repr(C)]
pub struct DesktopRotation {
    /// Around the x, y and z axis.
    pub angles: [f32; 3],
    /// Moves right and down.
    pub translation: [f32; 2],
    /// Enlarges, > 0.
    pub zoom: f32,
    /// Degrees, > 0 and < 180.
    pub field_of_view: f32,
}

/// Bytes that the library made.
#[repr(C)]
pub struct DesktopBytes {
    /// The bytes.
    pub bytes: *mut u8,
    /// Their number.
    pub length: usize,
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

impl DesktopPicture {
    fn parts(&self) -> (usize, usize, Format, usize) {
        let (width, height) = (self.width as usize, self.height as usize);
        let format = if self.bytes_per_pixel == 1 { Format::Gray } else { Format::Rgb565 };
        (width, height, format, width * height * format.bytes())
    }

    fn view(&self) -> Picture<&[u8]> {
        let (width, height, format, size) = self.parts();
        // SAFETY: C promises `size` bytes that live as long as this description.
        let pixels = unsafe { slice::from_raw_parts(self.pixels, size) };
        Picture { width, height, format, pixels }
    }

    fn canvas(&mut self) -> Picture<&mut [u8]> {
        let (width, height, format, size) = self.parts();
        // SAFETY: as in `view`; no other slice of these pixels exists during the call.
        let pixels = unsafe { slice::from_raw_parts_mut(self.pixels, size) };
        Picture { width, height, format, pixels }
    }

    fn planes(&self) -> usize {
        let (width, height, format, _) = self.parts();
        width * height * format.planes()
    }

    /// Hands a picture over; C gives it back with [`desktop_release`].
    fn give(&mut self, picture: Picture<Vec<u8>>) {
        *self = DesktopPicture {
            width: picture.width as i32,
            height: picture.height as i32,
            bytes_per_pixel: picture.format.bytes() as i32,
            pixels: Box::into_raw(picture.pixels.into_boxed_slice()).cast(),
        };
    }
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

/// Red, green and blue of an RGB565 value.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_rgb(value: u16, rgb: &mut [u8; 3]) {
    *rgb = pixel::rgb(value);
}

/// How a colour is stored in pictures of this many bytes per pixel.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_value(rgb: &[u8; 3], bytes_per_pixel: i32) -> u16 {
    picture::value_of(*rgb, if bytes_per_pixel == 1 { Format::Gray } else { Format::Rgb565 })
}

/// Fills `to` with `from`, which has the same size, converted to the format of `to`.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_convert(from: &DesktopPicture, to: &mut DesktopPicture) {
    to.canvas().convert_from(&from.view());
}

/// Fills `to` with `from`, which has the same format, in the size of `to`.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_resize(from: &DesktopPicture, to: &mut DesktopPicture) {
    resize::resize(&from.view(), &mut to.canvas());
}

/// Fills `to`, which is RGB565, with the rainbow colours of the brightness of `from`.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_rainbow(from: &DesktopPicture, to: &mut DesktopPicture) {
    to.canvas().rainbow_from(&from.view());
}

/// Draws a picture into another with its upper left corner at a place, scaled.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_draw_picture(
    to: &mut DesktopPicture,
    from: &DesktopPicture,
    x: i32,
    y: i32,
    scale_x: f32,
    scale_y: f32,
) {
    to.canvas().draw_picture(&from.view(), (x, y), (scale_x, scale_y));
}

/// Writes the planes that the KPU takes: R, G, B, or gray; width * height bytes each.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_planes(from: &DesktopPicture, planes: *mut u8) {
    // SAFETY: C promises that many bytes.
    let planes = unsafe { slice::from_raw_parts_mut(planes, from.planes()) };
    from.view().planes(planes);
}

/// Fills a picture with its planes.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_take_planes(to: &mut DesktopPicture, planes: *const u8) {
    // SAFETY: C promises that many bytes.
    let planes = unsafe { slice::from_raw_parts(planes, to.planes()) };
    to.canvas().take_planes(planes);
}

/// Turns every bit over.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_invert(picture: &mut DesktopPicture) {
    picture.canvas().invert();
}

/// Mirrors left and right, and turns upside down.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_flip(picture: &mut DesktopPicture, mirror: bool, upside_down: bool) {
    picture.canvas().flip(mirror, upside_down);
}

/// Stretches the contrast of a gray picture.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_stretch_contrast(picture: &mut DesktopPicture, dark_corners: bool) {
    picture.canvas().stretch_contrast(dark_corners);
}

/// Turns a picture.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_rotate(picture: &mut DesktopPicture, rotation: &DesktopRotation) {
    let &DesktopRotation { angles, translation, zoom, field_of_view } = rotation;
    affine::rotate(&mut picture.canvas(), &Rotation { angles, translation, zoom, field_of_view });
}

/// The transform (two lines of a 3 x 3 matrix) that takes the `count` points `to` to `from`, each
/// x and y.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_estimate_transform(
    from: *const f32,
    to: *const f32,
    count: usize,
    transform: &mut [f32; 6],
) {
    let points = |points: *const f32| -> Vec<_> {
        // SAFETY: C promises two numbers for each point.
        let numbers = unsafe { slice::from_raw_parts(points, 2 * count) };
        numbers.chunks_exact(2).map(|p| (p[0], p[1])).collect()
    };
    let found = affine::estimate(&points(from), &points(to));
    transform.copy_from_slice(found.as_flattened());
}

/// Fills the planes of `to` with those of `from`, looked up through a transform. Both have the
/// same bytes per pixel; their pixels are not used.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_warp_planes(
    from: &DesktopPicture,
    from_planes: *const u8,
    to: &DesktopPicture,
    to_planes: *mut u8,
    transform: &[f32; 6],
) {
    let (width, height, format, _) = from.parts();
    // SAFETY: C promises the planes of `from`.
    let bytes = unsafe { slice::from_raw_parts(from_planes, from.planes()) };
    let from = Planes { width, height, bytes };
    // SAFETY: C promises the planes of `to`.
    let bytes = unsafe { slice::from_raw_parts_mut(to_planes, to.planes()) };
    let (width, height, ..) = to.parts();
    let [a, b, c, d, e, f] = *transform;
    let transform = [[a, b, c], [d, e, f]];
    affine::warp_planes(from, &mut Planes { width, height, bytes }, &transform, format.planes());
}

/// Draws a line.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_draw_line(
    picture: &mut DesktopPicture,
    from_x: i32,
    from_y: i32,
    to_x: i32,
    to_y: i32,
    pen: &DesktopPen,
) {
    picture.canvas().draw_line((from_x, from_y), (to_x, to_y), pen.value, pen.thickness);
}

/// Draws a box.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_draw_rectangle(
    picture: &mut DesktopPicture,
    x: i32,
    y: i32,
    width: u32,
    height: u32,
    pen: &DesktopPen,
) {
    let area = (x, y, width, height);
    picture.canvas().draw_rectangle(area, pen.value, pen.thickness, pen.fill);
}

/// Draws a circle.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_draw_circle(
    picture: &mut DesktopPicture,
    x: i32,
    y: i32,
    radius: u32,
    pen: &DesktopPen,
) {
    picture.canvas().draw_circle((x, y), radius, pen.value, pen.thickness, pen.fill);
}

/// Draws a cross with arms of `size` pixels.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_draw_cross(
    picture: &mut DesktopPicture,
    x: i32,
    y: i32,
    size: i32,
    pen: &DesktopPen,
) {
    picture.canvas().draw_cross((x, y), pen.value, size, pen.thickness);
}

/// Draws text.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_draw_text(picture: &mut DesktopPicture, text: &DesktopText) {
    // SAFETY: C promises that many bytes.
    let string = unsafe { slice::from_raw_parts(text.text.cast::<u8>(), text.length) };
    picture.canvas().draw_text(
        &String::from_utf8_lossy(string),
        (text.x, text.y),
        text.value,
        text.scale,
        (text.x_spacing, text.y_spacing),
        board().font.as_ref(),
    );
}

/// Draws further text in a font whose glyphs are these bytes.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_font_load(
    width: usize,
    height: usize,
    glyphs: *const u8,
    length: usize,
) {
    // SAFETY: C promises that many bytes.
    let glyphs = unsafe { slice::from_raw_parts(glyphs, length) }.to_vec();
    board().font = Some(Font { width, height, glyphs });
}

/// Draws further text in a font that lies in the flash.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_font_load_flash(width: usize, height: usize, address: usize) {
    let mut board = board();
    let mut glyphs = vec![0; (width / 8 * height) << 16];
    board.flash.read(address, &mut glyphs);
    board.font = Some(Font { width, height, glyphs });
}

/// Draws further text in the built-in font.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_font_free() {
    board().font = None;
}

/// Reads a picture file's bytes. `picture` is given back with `desktop_release`.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_decode(
    bytes: *const u8,
    length: usize,
    picture: &mut DesktopPicture,
) -> bool {
    // SAFETY: C promises that many bytes.
    let bytes = unsafe { slice::from_raw_parts(bytes, length) };
    keep(files::decode(bytes)).map(|decoded| picture.give(decoded)).is_some()
}

/// Frees the pixels that `desktop_decode` or `desktop_take` gave.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_release(picture: &mut DesktopPicture) {
    let (.., size) = picture.parts();
    let pixels = ptr::slice_from_raw_parts_mut(picture.pixels, size);
    // SAFETY: `give` made these pixels of a box of this size.
    drop(unsafe { Box::from_raw(pixels) });
    picture.pixels = ptr::null_mut();
}

/// Makes a picture file's bytes; the name's ending says which format. Given back with
/// [`desktop_release_bytes`].
///
/// # Safety
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn desktop_encode(
    picture: &DesktopPicture,
    name: *const c_char,
    encoded: &mut DesktopBytes,
) -> bool {
    // SAFETY: the caller promises it.
    let name = unsafe { CStr::from_ptr(name) };
    let result = name
        .to_str()
        .context("the name is not UTF-8")
        .and_then(|name| files::encode(&picture.view(), name.as_ref()));
    let Some(bytes) = keep(result) else { return false };
    let length = bytes.len();
    *encoded = DesktopBytes { bytes: Box::into_raw(bytes.into_boxed_slice()).cast(), length };
    true
}

/// Frees what `desktop_encode` gave.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_release_bytes(encoded: &mut DesktopBytes) {
    let bytes = ptr::slice_from_raw_parts_mut(encoded.bytes, encoded.length);
    // SAFETY: `desktop_encode` made these bytes of a box of this size.
    drop(unsafe { Box::from_raw(bytes) });
    encoded.bytes = ptr::null_mut();
}

/// Takes a picture with the camera: 1, or 0 when the frames are over, or -1 (an error).
/// `picture` is given back with `desktop_release`.
#[unsafe(no_mangle)]
pub extern "C" fn desktop_take(width: u32, height: u32, picture: &mut DesktopPicture) -> i32 {
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
pub extern "C" fn desktop_show(picture: &DesktopPicture) -> bool {
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
