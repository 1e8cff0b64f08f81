//! Picture files of the format BMP.

use alloc::vec::Vec;

use embedded_graphics::{
    pixelcolor::{Rgb888, RgbColor},
    prelude::*,
};
use tinybmp::Bmp;

use crate::picture::{Format, Picture};

/// Bytes of the headers that [`encode`] writes.
const HEADERS: usize = 54;

/// Reads a file of 1, 4, 8, 16, 24 or 32 bits per pixel, uncompressed or run-length coded, as an
/// RGB565 picture; `None` where it is no such file.
pub fn decode(bytes: &[u8]) -> Option<Picture<Vec<u8>>> {
    let bmp = Bmp::<Rgb888>::from_slice(bytes).ok()?;
    let size = bmp.size();
    let mut picture = Picture::black(size.width as usize, size.height as usize, Format::Rgb565);
    for Pixel(place, color) in bmp.pixels() {
        let rgb = [color.r(), color.g(), color.b()];
        picture.set_rgb(place.x as usize, place.y as usize, rgb);
    }
    (picture.width > 0 && picture.height > 0).then_some(picture)
}

/// The bytes of a file of 24 bits per pixel.
pub fn encode<P: AsRef<[u8]>>(picture: &Picture<P>) -> Vec<u8> {
    let line = (3 * picture.width).next_multiple_of(4);
    let size = HEADERS + line * picture.height;
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(b"BM");
    let mut word = |value: usize| bytes.extend((value as u32).to_le_bytes());
    // The file's size, where the pixels begin; then the second header's size, width and height.
    [size, 0, HEADERS, 40, picture.width, picture.height].into_iter().for_each(&mut word);
    // One plane of 24 bits, no compression, bytes of pixels; no resolution, no table of colours.
    [24 << 16 | 1, 0, size - HEADERS, 0, 0, 0, 0].into_iter().for_each(word);
    for y in (0..picture.height).rev() {
        let begin = bytes.len();
        bytes.extend((0..picture.width).flat_map(|x| {
            let [red, green, blue] = picture.rgb(x, y);
            [blue, green, red]
        }));
        bytes.resize(begin + line, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again() {
        for width in 1..6 {
            let mut picture = Picture::black(width, 3, Format::Rgb565);
            picture.pixels.iter_mut().enumerate().for_each(|(i, p)| *p = (i * 53) as u8);
            let again = decode(&encode(&picture)).unwrap();
            assert_eq!((again.width, again.height), (width, 3));
            assert_eq!(again.pixels, picture.pixels);
        }
    }

    #[test]
    fn what_is_no_picture_is_none() {
        let file = encode(&Picture::black(4, 4, Format::Gray));
        assert!(decode(b"no picture").is_none());
        assert!(decode(&file[..60]).is_none());
    }
}
