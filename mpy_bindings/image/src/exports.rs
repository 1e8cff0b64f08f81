//! The functions that `image.c` calls. Their header, `picture.h`, is generated from this file
//! (`tests/header.rs`).
//!
//! Where a function takes a pointer, C promises that it is valid, that it points to as many bytes
//! as the sizes beside it say, and that two pictures given together do not share pixels.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::{ffi::c_char, ptr, slice};

use crate::{
    affine::{self, Planes, Rotation},
    font::Font,
    picture::{self, Format, Picture},
    pixel, resize,
};

/// A picture: lines one after the other, no padding.
#[repr(C)]
pub struct RawPicture {
    /// Pixels of a line, > 0.
    pub width: i32,
    /// Lines, > 0.
    pub height: i32,
    /// 1: gray; 2: RGB565, high byte first.
    pub bytes_per_pixel: i32,
    /// width * height * bytes_per_pixel bytes.
    pub pixels: *mut u8,
}

/// A colour and a way to draw.
#[repr(C)]
pub struct RawPen {
    /// The stored value: gray or RGB565.
    pub value: u16,
    /// Pixels.
    pub thickness: u32,
    /// Fill the shape.
    pub fill: bool,
}

/// How text is drawn.
#[repr(C)]
pub struct RawText {
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
    /// Glyphs of the text's characters one behind the other, or NULL: those of the built-in font.
    pub glyphs: *const u8,
    /// Bytes of the glyphs.
    pub glyph_bytes: usize,
    /// Dots of a glyph's line, a multiple of 8.
    pub glyph_width: usize,
    /// Lines of a glyph.
    pub glyph_height: usize,
}

/// How a picture is turned: degrees and pixels.
#[repr(C)]
pub struct RawRotation {
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
pub struct RawBytes {
    /// The bytes.
    pub bytes: *mut u8,
    /// Their number.
    pub length: usize,
}

impl RawBytes {
    /// Hands bytes over; C gives them back with [`picture_release_bytes`].
    pub fn give(&mut self, bytes: Vec<u8>) {
        self.length = bytes.len();
        self.bytes = Box::into_raw(bytes.into_boxed_slice()).cast();
    }
}

impl RawPicture {
    fn parts(&self) -> (usize, usize, Format, usize) {
        let (width, height) = (self.width as usize, self.height as usize);
        let format = if self.bytes_per_pixel == 1 { Format::Gray } else { Format::Rgb565 };
        (width, height, format, width * height * format.bytes())
    }

    /// The picture, to be looked at.
    pub fn view(&self) -> Picture<&[u8]> {
        let (width, height, format, size) = self.parts();
        // SAFETY: C promises `size` bytes that live as long as this description.
        let pixels = unsafe { slice::from_raw_parts(self.pixels, size) };
        Picture { width, height, format, pixels }
    }

    /// The picture, to be changed.
    pub fn canvas(&mut self) -> Picture<&mut [u8]> {
        let (width, height, format, size) = self.parts();
        // SAFETY: as in `view`; no other slice of these pixels exists during the call.
        let pixels = unsafe { slice::from_raw_parts_mut(self.pixels, size) };
        Picture { width, height, format, pixels }
    }

    fn planes(&self) -> usize {
        let (width, height, format, _) = self.parts();
        width * height * format.planes()
    }

    /// Hands a picture over; C gives it back with [`picture_release`].
    pub fn give(&mut self, picture: Picture<Vec<u8>>) {
        *self = RawPicture {
            width: picture.width as i32,
            height: picture.height as i32,
            bytes_per_pixel: picture.format.bytes() as i32,
            pixels: Box::into_raw(picture.pixels.into_boxed_slice()).cast(),
        };
    }
}

/// Red, green and blue of an RGB565 value.
#[unsafe(no_mangle)]
pub extern "C" fn picture_rgb(value: u16, rgb: &mut [u8; 3]) {
    *rgb = pixel::rgb(value);
}

/// How a colour is stored in pictures of this many bytes per pixel.
#[unsafe(no_mangle)]
pub extern "C" fn picture_value(rgb: &[u8; 3], bytes_per_pixel: i32) -> u16 {
    picture::value_of(*rgb, if bytes_per_pixel == 1 { Format::Gray } else { Format::Rgb565 })
}

/// Fills `to` with `from`, which has the same size, converted to the format of `to`.
#[unsafe(no_mangle)]
pub extern "C" fn picture_convert(from: &RawPicture, to: &mut RawPicture) {
    to.canvas().convert_from(&from.view());
}

/// Fills `to` with `from`, which has the same format, in the size of `to`.
#[unsafe(no_mangle)]
pub extern "C" fn picture_resize(from: &RawPicture, to: &mut RawPicture) {
    resize::resize(&from.view(), &mut to.canvas());
}

/// Fills `to`, which is RGB565, with the rainbow colours of the brightness of `from`.
#[unsafe(no_mangle)]
pub extern "C" fn picture_rainbow(from: &RawPicture, to: &mut RawPicture) {
    to.canvas().rainbow_from(&from.view());
}

/// Draws a picture into another with its upper left corner at a place, scaled.
#[unsafe(no_mangle)]
pub extern "C" fn picture_draw_picture(
    to: &mut RawPicture,
    from: &RawPicture,
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
pub unsafe extern "C" fn picture_planes(from: &RawPicture, planes: *mut u8) {
    // SAFETY: C promises that many bytes.
    let planes = unsafe { slice::from_raw_parts_mut(planes, from.planes()) };
    from.view().planes(planes);
}

/// Fills a picture with its planes.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn picture_take_planes(to: &mut RawPicture, planes: *const u8) {
    // SAFETY: C promises that many bytes.
    let planes = unsafe { slice::from_raw_parts(planes, to.planes()) };
    to.canvas().take_planes(planes);
}

/// Turns every bit over.
#[unsafe(no_mangle)]
pub extern "C" fn picture_invert(picture: &mut RawPicture) {
    picture.canvas().invert();
}

/// Mirrors left and right, and turns upside down.
#[unsafe(no_mangle)]
pub extern "C" fn picture_flip(picture: &mut RawPicture, mirror: bool, upside_down: bool) {
    picture.canvas().flip(mirror, upside_down);
}

/// Stretches the contrast of a gray picture.
#[unsafe(no_mangle)]
pub extern "C" fn picture_stretch_contrast(picture: &mut RawPicture, dark_corners: bool) {
    picture.canvas().stretch_contrast(dark_corners);
}

/// Turns a picture.
#[unsafe(no_mangle)]
pub extern "C" fn picture_rotate(picture: &mut RawPicture, rotation: &RawRotation) {
    let &RawRotation { angles, translation, zoom, field_of_view } = rotation;
    affine::rotate(&mut picture.canvas(), &Rotation { angles, translation, zoom, field_of_view });
}

/// The transform (two lines of a 3 x 3 matrix) that takes the `count` points `to` to `from`, each
/// x and y.
///
/// # Safety
/// The pointers are as the module says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn picture_estimate_transform(
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
pub unsafe extern "C" fn picture_warp_planes(
    from: &RawPicture,
    from_planes: *const u8,
    to: &RawPicture,
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
pub extern "C" fn picture_draw_line(
    picture: &mut RawPicture,
    from_x: i32,
    from_y: i32,
    to_x: i32,
    to_y: i32,
    pen: &RawPen,
) {
    picture.canvas().draw_line((from_x, from_y), (to_x, to_y), pen.value, pen.thickness);
}

/// Draws a box.
#[unsafe(no_mangle)]
pub extern "C" fn picture_draw_rectangle(
    picture: &mut RawPicture,
    x: i32,
    y: i32,
    width: u32,
    height: u32,
    pen: &RawPen,
) {
    let area = (x, y, width, height);
    picture.canvas().draw_rectangle(area, pen.value, pen.thickness, pen.fill);
}

/// Draws a circle.
#[unsafe(no_mangle)]
pub extern "C" fn picture_draw_circle(
    picture: &mut RawPicture,
    x: i32,
    y: i32,
    radius: u32,
    pen: &RawPen,
) {
    picture.canvas().draw_circle((x, y), radius, pen.value, pen.thickness, pen.fill);
}

/// Draws a cross with arms of `size` pixels.
#[unsafe(no_mangle)]
pub extern "C" fn picture_draw_cross(
    picture: &mut RawPicture,
    x: i32,
    y: i32,
    size: i32,
    pen: &RawPen,
) {
    picture.canvas().draw_cross((x, y), pen.value, size, pen.thickness);
}

/// Draws text.
#[unsafe(no_mangle)]
pub extern "C" fn picture_draw_text(picture: &mut RawPicture, text: &RawText) {
    // SAFETY: C promises that many bytes.
    let string = unsafe { slice::from_raw_parts(text.text.cast::<u8>(), text.length) };
    let font = (!text.glyphs.is_null()).then(|| Font {
        width: text.glyph_width,
        height: text.glyph_height,
        // SAFETY: as above.
        glyphs: unsafe { slice::from_raw_parts(text.glyphs, text.glyph_bytes) },
    });
    picture.canvas().draw_text(
        &String::from_utf8_lossy(string),
        (text.x, text.y),
        text.value,
        text.scale,
        (text.x_spacing, text.y_spacing),
        font.as_ref(),
    );
}

/// Frees the pixels that the port gave.
#[unsafe(no_mangle)]
pub extern "C" fn picture_release(picture: &mut RawPicture) {
    let (.., size) = picture.parts();
    let pixels = ptr::slice_from_raw_parts_mut(picture.pixels, size);
    // SAFETY: `give` made these pixels of a box of this size.
    drop(unsafe { Box::from_raw(pixels) });
    picture.pixels = ptr::null_mut();
}

/// Frees the bytes that the port gave.
#[unsafe(no_mangle)]
pub extern "C" fn picture_release_bytes(encoded: &mut RawBytes) {
    let bytes = ptr::slice_from_raw_parts_mut(encoded.bytes, encoded.length);
    // SAFETY: `give` made these bytes of a box of this size.
    drop(unsafe { Box::from_raw(bytes) });
    encoded.bytes = ptr::null_mut();
}
