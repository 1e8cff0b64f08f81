//! A picture in the firmware's memory layout, and the conversions that keep its size.

use alloc::{vec, vec::Vec};

use crate::pixel;

/// How a pixel is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One byte.
    Gray,
    /// Two bytes, RGB565, high byte first.
    Rgb565,
}

impl Format {
    /// Bytes of a pixel.
    pub const fn bytes(self) -> usize {
        match self {
            Format::Gray => 1,
            Format::Rgb565 => 2,
        }
    }

    /// Planes that the KPU sees.
    pub const fn planes(self) -> usize {
        match self {
            Format::Gray => 1,
            Format::Rgb565 => 3,
        }
    }
}

/// A picture whose pixels are somewhere else: line by line, no padding.
///
/// `P` is `&[u8]`, `&mut [u8]` or `Vec<u8>` of `width * height * format.bytes()` bytes.
#[derive(Clone, Debug)]
pub struct Picture<P> {
    /// Pixels of a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// How a pixel is stored.
    pub format: Format,
    /// The pixels.
    pub pixels: P,
}

impl Picture<Vec<u8>> {
    /// A black picture.
    pub fn black(width: usize, height: usize, format: Format) -> Self {
        Self { width, height, format, pixels: vec![0; width * height * format.bytes()] }
    }
}

impl<P: AsRef<[u8]>> Picture<P> {
    /// A copy that owns its pixels.
    pub fn copy(&self) -> Picture<Vec<u8>> {
        let Self { width, height, format, ref pixels } = *self;
        Picture { width, height, format, pixels: pixels.as_ref().to_vec() }
    }

    /// The stored value of a pixel: RGB565 or gray.
    pub fn value(&self, x: usize, y: usize) -> u16 {
        let index = y * self.width + x;
        let pixels = self.pixels.as_ref();
        match self.format {
            Format::Gray => u16::from(pixels[index]),
            Format::Rgb565 => u16::from_be_bytes([pixels[2 * index], pixels[2 * index + 1]]),
        }
    }

    /// A pixel as red, green and blue.
    pub fn rgb(&self, x: usize, y: usize) -> [u8; 3] {
        match self.format {
            Format::Gray => [self.value(x, y) as u8; 3],
            Format::Rgb565 => pixel::rgb(self.value(x, y)),
        }
    }

    /// A pixel as gray.
    pub fn gray(&self, x: usize, y: usize) -> u8 {
        match self.format {
            Format::Gray => self.value(x, y) as u8,
            Format::Rgb565 => pixel::gray(self.value(x, y)),
        }
    }

    /// All places, line by line.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<P> {
        let (width, height) = (self.width, self.height);
        (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)))
    }

    /// The planes that the KPU takes: R, G, B of 8 bits, or the gray plane.
    pub fn planes(&self, planes: &mut [u8]) {
        let plane = self.width * self.height;
        for (index, (x, y)) in self.places().enumerate() {
            match self.format {
                Format::Gray => planes[index] = self.gray(x, y),
                Format::Rgb565 => {
                    for (channel, value) in self.rgb(x, y).into_iter().enumerate() {
                        planes[channel * plane + index] = value;
                    }
                }
            }
        }
    }
}

impl<P: AsRef<[u8]> + AsMut<[u8]>> Picture<P> {
    /// Stores a value: RGB565 or gray.
    pub fn set(&mut self, x: usize, y: usize, value: u16) {
        let index = y * self.width + x;
        let pixels = self.pixels.as_mut();
        match self.format {
            Format::Gray => pixels[index] = value as u8,
            Format::Rgb565 => pixels[2 * index..][..2].copy_from_slice(&value.to_be_bytes()),
        }
    }

    /// Stores a colour.
    pub fn set_rgb(&mut self, x: usize, y: usize, rgb: [u8; 3]) {
        self.set(x, y, value_of(rgb, self.format));
    }

    /// Takes the pixels of a picture of the same size, converted to this one's format.
    pub fn convert_from<Q: AsRef<[u8]>>(&mut self, from: &Picture<Q>) {
        for (x, y) in from.places() {
            match self.format {
                Format::Gray => self.set(x, y, u16::from(from.gray(x, y))),
                Format::Rgb565 if from.format == self.format => self.set(x, y, from.value(x, y)),
                Format::Rgb565 => self.set_rgb(x, y, from.rgb(x, y)),
            }
        }
    }

    /// Takes the pixels of the planes that [`Picture::planes`] made.
    pub fn take_planes(&mut self, planes: &[u8]) {
        let plane = self.width * self.height;
        for (index, (x, y)) in self.places().enumerate() {
            match self.format {
                Format::Gray => self.set(x, y, u16::from(planes[index])),
                Format::Rgb565 => {
                    self.set_rgb(x, y, [0, 1, 2].map(|channel| planes[channel * plane + index]));
                }
            }
        }
    }

    /// Takes the brightness of a picture of the same size as colours from blue to red.
    pub fn rainbow_from<Q: AsRef<[u8]>>(&mut self, from: &Picture<Q>) {
        for (x, y) in from.places() {
            let level = i32::from(from.gray(x, y));
            // A triangle around 3/4, 1/2 and 1/4 of the scale.
            let channel = |peak: i32| (382 - 4 * (level - peak).abs()).clamp(0, 255) as u8;
            self.set_rgb(x, y, [channel(191), channel(128), channel(64)]);
        }
    }

    /// Every bit of every pixel turned over.
    pub fn invert(&mut self) {
        self.pixels.as_mut().iter_mut().for_each(|byte| *byte = !*byte);
    }

    /// Mirrors left and right, and turns upside down.
    pub fn flip(&mut self, mirror: bool, upside_down: bool) {
        let copy = self.copy();
        for (x, y) in copy.places() {
            let from_x = if mirror { self.width - 1 - x } else { x };
            let from_y = if upside_down { self.height - 1 - y } else { y };
            self.set(x, y, copy.value(from_x, from_y));
        }
    }

    /// Stretches the contrast of a gray picture above its mean, and with `dark_corners` takes the
    /// corners back: the preparation for handwritten digits of MaixPy's examples.
    pub fn stretch_contrast(&mut self, dark_corners: bool) {
        let (width, height) = (self.width as i64, self.height as i64);
        let pixels = self.pixels.as_mut();
        let sum: i64 = pixels.iter().map(|&p| i64::from(p)).sum();
        let mean = sum / width / height;
        let range = i64::from(pixels.iter().copied().max().unwrap_or(0)) - mean;
        if range <= 0 {
            return;
        }
        for (index, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = (index as i64 % width, index as i64 / width);
            let mut value = ((i64::from(*pixel) - mean) * 255 / range).clamp(0, 255);
            if dark_corners {
                let distance = (x - width / 2).pow(2) + (y - height / 2).pow(2);
                let square = (32 * distance * distance) as f32;
                let size = (width * width * height * height) as f32;
                value = (value as f32 / (1.0 + square / size)) as i64;
            }
            *pixel = value as u8;
        }
    }
}

/// How a colour is stored in a picture of a format.
pub fn value_of(rgb: [u8; 3], format: Format) -> u16 {
    let value = pixel::rgb565(rgb);
    match format {
        Format::Gray => u16::from(pixel::gray(value)),
        Format::Rgb565 => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(format: Format) -> Picture<Vec<u8>> {
        let mut picture = Picture::black(4, 2, format);
        for (index, byte) in picture.pixels.iter_mut().enumerate() {
            *byte = (index * 37) as u8;
        }
        picture
    }

    #[test]
    fn planes_and_back_is_the_same_picture() {
        for format in [Format::Gray, Format::Rgb565] {
            let picture = ramp(format);
            let mut planes = vec![0; 8 * format.planes()];
            picture.planes(&mut planes);
            let mut back = Picture::black(4, 2, format);
            back.take_planes(&planes);
            assert_eq!(back.pixels, picture.pixels);
        }
    }

    #[test]
    fn flipping_twice_is_the_same_picture() {
        let mut picture = ramp(Format::Rgb565);
        let first = picture.value(0, 0);
        picture.flip(true, true);
        assert_eq!(picture.value(3, 1), first);
        picture.flip(true, true);
        assert_eq!(picture.pixels, ramp(Format::Rgb565).pixels);
    }

    #[test]
    fn the_rainbow_goes_from_blue_to_red() {
        let mut gray = Picture::black(3, 1, Format::Gray);
        gray.pixels = vec![32, 128, 223];
        let mut rainbow = Picture::black(3, 1, Format::Rgb565);
        rainbow.rainbow_from(&gray);
        let [[_, _, blue], [_, green, _], [red, _, _]] = [0, 1, 2].map(|x| rainbow.rgb(x, 0));
        assert!(blue > 240 && green > 240 && red > 240);
    }

    #[test]
    fn stretching_keeps_black_and_reaches_white() {
        let mut picture = ramp(Format::Gray);
        picture.stretch_contrast(false);
        assert_eq!(picture.pixels.iter().max(), Some(&255));
        assert_eq!(picture.pixels[0], 0);
    }
}
