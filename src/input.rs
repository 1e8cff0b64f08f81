//! Pictures, lists and bytes become what a model takes.

use crate::{
    error::{Error, Kind, Result, What, image_size},
    kpu::memory::line_ranges,
    math::round_to_u8,
    model::Tensor,
    session::memory::cast_mut,
    tensor::{Dtype, ImageShape, copy},
};

/// How the pixels of an [`Image`] lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Planes of red, green and blue bytes, one behind the other (`pix_ai`); or any other
    /// number of planes.
    Planar {
        /// Number of planes.
        channels: usize,
    },
    /// Two bytes a pixel, the first holds R5 and the upper half of G6, as MaixPy's images.
    Rgb565,
    /// Three bytes a pixel.
    Rgb888,
    /// One byte a pixel.
    Gray,
}

/// A picture.
#[derive(Clone, Copy, Debug)]
pub struct Image<'i> {
    /// How the pixels lie.
    pub format: PixelFormat,
    /// Pixels of a line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// The pixels.
    pub pixels: &'i [u8],
}

/// What is given to a model.
#[derive(Clone, Copy, Debug)]
pub enum Input<'i> {
    /// A picture; for a model that takes floats, pixels are converted.
    Image(Image<'i>),
    /// One float for every value. A model that takes bytes gets them rounded, half away from
    /// zero, and cut to 0..=255.
    Floats(&'i [f32]),
    /// One byte for every value. A model that takes floats gets them as they are, 0.0 to 255.0.
    Bytes(&'i [u8]),
    /// The bytes of the model's own element type, little-endian.
    Raw(&'i [u8]),
}

/// How values are scaled: `(value * scale - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    /// Scaling of pictures for models that take floats.
    pub pixels: Scaling,
    /// Scaling of everything else, and of pictures for models that take bytes.
    pub values: Scaling,
}

/// `(value * scale - mean) / std`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Factor.
    pub scale: f32,
    /// Subtracted behind the factor.
    pub mean: f32,
    /// Divisor.
    pub std: f32,
}

impl Scaling {
    /// Changes nothing.
    pub const NONE: Self = Self { scale: 1.0, mean: 0.0, std: 1.0 };

    fn apply(&self, value: f32) -> f32 {
        (value * self.scale - self.mean) / self.std
    }
}

impl Default for Conversion {
    /// Pixels become 0 to 1, other values stay.
    fn default() -> Self {
        Self::range(0.0, 1.0)
    }
}

impl Conversion {
    /// Changes nothing.
    const RAW: Self = Self { pixels: Scaling::NONE, values: Scaling::NONE };

    /// Pixel 0 becomes `low` and 255 `high`; other values stay.
    pub fn range(low: f32, high: f32) -> Self {
        let pixels = if (low, high) == (0.0, 1.0) {
            Scaling { scale: 1.0, mean: 0.0, std: 255.0 }
        } else {
            Scaling { scale: (high - low) / 255.0, mean: -low, std: 1.0 }
        };
        Self { pixels, values: Scaling::NONE }
    }

    /// Every value becomes `(value * scale - mean) / std`.
    pub fn explicit(scale: f32, mean: f32, std: f32) -> Self {
        let scaling = Scaling { scale, mean, std };
        Self { pixels: scaling, values: scaling }
    }
}

/// A 5-bit or 6-bit colour as a byte: `floor(value * 255 / max + 0.5)`.
fn expand(value: u8, max: u32) -> u8 {
    ((u32::from(value) * 255 * 2 + max) / (2 * max)) as u8
}

impl Image<'_> {
    /// Number of colour planes.
    pub fn channels(&self) -> usize {
        match self.format {
            PixelFormat::Planar { channels } => channels,
            PixelFormat::Rgb565 | PixelFormat::Rgb888 => 3,
            PixelFormat::Gray => 1,
        }
    }

    fn bytes(&self) -> Option<usize> {
        let per_pixel = match self.format {
            PixelFormat::Rgb565 => 2,
            _ => self.channels(),
        };
        self.width.checked_mul(self.height)?.checked_mul(per_pixel)
    }

    fn check(&self, shape: ImageShape) -> Result<()> {
        let (has, wants) = (
            (self.width, self.height, self.channels()),
            (shape.width, shape.height, shape.channels),
        );
        if has != wants {
            return Err(Error::about(
                Kind::ImageSize,
                What::Nothing,
                [image_size(has.0, has.1, has.2), image_size(wants.0, wants.1, wants.2)],
            ));
        }
        if self.bytes() != Some(self.pixels.len()) {
            let sizes = [self.pixels.len() as u64, self.bytes().unwrap_or(usize::MAX) as u64];
            return Err(Error::about(Kind::BufferSize, What::Image, sizes));
        }
        Ok(())
    }

    /// One line of one plane, where its values lie one behind the other.
    fn plain_line(&self, channel: usize, y: usize) -> Option<&[u8]> {
        match self.format {
            PixelFormat::Planar { .. } | PixelFormat::Gray => {
                let line = self.pixels.get((channel * self.height + y) * self.width..)?;
                line.get(..self.width)
            }
            PixelFormat::Rgb565 | PixelFormat::Rgb888 => None,
        }
    }

    /// The values of one line of one plane.
    fn line(&self, channel: usize, y: usize) -> impl Iterator<Item = u8> + '_ {
        let (offset, step) = match self.format {
            PixelFormat::Planar { .. } | PixelFormat::Gray => {
                ((channel * self.height + y) * self.width, 1)
            }
            PixelFormat::Rgb565 => (y * self.width * 2, 2),
            PixelFormat::Rgb888 => (y * self.width * 3 + channel, 3),
        };
        let format = self.format;
        let line = self.pixels.get(offset..).unwrap_or(&[]);
        line.chunks(step).take(self.width).map(move |pixel| match (format, pixel) {
            (PixelFormat::Rgb565, &[high, low]) => match channel {
                0 => expand(high >> 3, 31),
                1 => expand((high & 7) << 3 | low >> 5, 63),
                _ => expand(low & 31, 31),
            },
            (_, pixel) => pixel.first().copied().unwrap_or(0),
        })
    }
}

/// An element type that values are converted to.
trait Element: Copy {
    fn from_pixel(pixel: u8, conversion: &Conversion) -> Self;
    fn from_value(value: f32, conversion: &Conversion) -> Self;
    fn from_byte(byte: u8, conversion: &Conversion) -> Self;

    /// Many of [`Self::from_byte`].
    fn from_bytes(bytes: &[u8], conversion: &Conversion, out: &mut [Self]) {
        for (out, &byte) in out.iter_mut().zip(bytes) {
            *out = Self::from_byte(byte, conversion);
        }
    }

    /// Many of [`Self::from_pixel`].
    fn from_pixels(pixels: &[u8], conversion: &Conversion, out: &mut [Self]) {
        for (out, &pixel) in out.iter_mut().zip(pixels) {
            *out = Self::from_pixel(pixel, conversion);
        }
    }
}

impl Element for f32 {
    fn from_pixel(pixel: u8, conversion: &Conversion) -> Self {
        conversion.pixels.apply(pixel.into())
    }

    fn from_value(value: f32, conversion: &Conversion) -> Self {
        conversion.values.apply(value)
    }

    fn from_byte(byte: u8, conversion: &Conversion) -> Self {
        conversion.values.apply(byte.into())
    }
}

impl Element for u8 {
    fn from_pixel(pixel: u8, conversion: &Conversion) -> Self {
        Self::from_byte(pixel, conversion)
    }

    fn from_value(value: f32, conversion: &Conversion) -> Self {
        round_to_u8(conversion.values.apply(value))
    }

    fn from_byte(byte: u8, conversion: &Conversion) -> Self {
        if conversion.values == Scaling::NONE {
            byte
        } else {
            Self::from_value(byte.into(), conversion)
        }
    }

    fn from_bytes(bytes: &[u8], conversion: &Conversion, out: &mut [Self]) {
        if conversion.values == Scaling::NONE {
            copy(bytes, out);
            return;
        }
        for (out, &byte) in out.iter_mut().zip(bytes) {
            *out = Self::from_byte(byte, conversion);
        }
    }

    fn from_pixels(pixels: &[u8], conversion: &Conversion, out: &mut [Self]) {
        Self::from_bytes(pixels, conversion, out);
    }
}

impl Input<'_> {
    /// Writes the input as the model takes it, into the tensor's bytes.
    pub fn put(&self, tensor: &Tensor, conversion: &Conversion, out: &mut [u8]) -> Result<()> {
        self.check(tensor)?;
        let width = tensor.image().width;
        match tensor.dtype {
            Dtype::U8 => {
                for (line, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
                    self.line(conversion, line, out);
                }
            }
            Dtype::F32 => {
                if let Input::Raw(bytes) = self {
                    copy(bytes, out);
                    return Ok(());
                }
                for (line, out) in cast_mut::<f32>(out)?.chunks_exact_mut(width.max(1)).enumerate()
                {
                    self.line(conversion, line, out);
                }
            }
        }
        Ok(())
    }

    /// Writes the input into KPU RAM, from `row` on, for a tensor of bytes.
    pub fn put_in_kpu(
        &self,
        tensor: &Tensor,
        conversion: &Conversion,
        row: usize,
        ram: &mut [u8],
    ) -> Result<()> {
        self.check(tensor)?;
        let image = tensor.image();
        for (line, range) in line_ranges(row, tensor.batches(), image).enumerate() {
            if let Some(out) = ram.get_mut(range) {
                self.line(conversion, line, out);
            }
        }
        Ok(())
    }

    /// Checks the number of values, or the size of a picture.
    fn check(&self, tensor: &Tensor) -> Result<()> {
        let wanted = tensor.elements();
        let given = match self {
            Input::Image(image) => {
                let is_vector = tensor.image().plane() == 1 && tensor.image().channels > 3;
                if is_vector || tensor.batches() != 1 {
                    return Err(Error::new(Kind::NotAnImage));
                }
                return image.check(tensor.image());
            }
            Input::Floats(values) => values.len(),
            Input::Bytes(values) => values.len(),
            Input::Raw(bytes) if bytes.len() == tensor.bytes() => wanted,
            Input::Raw(bytes) => {
                let sizes = [bytes.len() as u64, tensor.bytes() as u64];
                return Err(Error::about(Kind::BufferSize, What::RawInput, sizes));
            }
        };
        if given != wanted {
            return Err(Error::about(
                Kind::InputSize,
                What::Nothing,
                [given as u64, wanted as u64],
            ));
        }
        Ok(())
    }

    /// Fills the line of that number, counted over all planes of all images.
    fn line<T: Element>(&self, conversion: &Conversion, line: usize, out: &mut [T]) {
        let offset = line * out.len();
        match self {
            Input::Image(image) => {
                let (channel, y) = (line / image.height.max(1), line % image.height.max(1));
                if let Some(pixels) = image.plain_line(channel, y) {
                    T::from_pixels(pixels, conversion, out);
                    return;
                }
                for (out, pixel) in out.iter_mut().zip(image.line(channel, y)) {
                    *out = T::from_pixel(pixel, conversion);
                }
            }
            Input::Floats(values) => {
                for (out, &value) in out.iter_mut().zip(values.get(offset..).unwrap_or(&[])) {
                    *out = T::from_value(value, conversion);
                }
            }
            Input::Bytes(values) => {
                T::from_bytes(values.get(offset..).unwrap_or(&[]), conversion, out);
            }
            Input::Raw(values) => {
                T::from_bytes(values.get(offset..).unwrap_or(&[]), &Conversion::RAW, out);
            }
        }
    }
}
