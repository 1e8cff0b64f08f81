//! Resizing of images: nearest neighbour and bilinear.

use crate::math::trunc;
use crate::tensor::{Shape, elements};

/// Options of [`resize_nearest`] and [`resize_bilinear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Shape of the input.
    pub input: Shape,
    /// Height and width of the output.
    pub output: [usize; 2],
    /// Whether the corner pixels of input and output lie on each other (bilinear only).
    pub align_corners: bool,
}

/// Larger images would have coordinates that floats cannot tell apart.
const LIMIT: usize = 1 << 24;

impl Resize {
    /// Output shape; `None` if a size is zero or beyond all reason.
    pub fn output(&self) -> Option<Shape> {
        let [batches, channels, height, width] = self.input;
        let [out_height, out_width] = self.output;
        let sane = [height, width, out_height, out_width];
        sane.iter().all(|n| (1..=LIMIT).contains(n)).then_some(())?;
        let shape = [batches, channels, out_height, out_width];
        elements(&self.input)?;
        elements(&shape)?;
        Some(shape)
    }

    /// Calls `line` with each output line, its number in the image, and the image it comes from.
    fn lines<X, Y>(
        &self,
        x: &[X],
        y: &mut [Y],
        mut line: impl FnMut(&[X], usize, &mut [Y]) -> Option<()>,
    ) -> Option<()> {
        let output = self.output()?;
        (elements(&self.input)? == x.len() && elements(&output)? == y.len()).then_some(())?;
        let [_, _, height, width] = self.input;
        let [out_height, out_width] = self.output;
        let mut rows = y.chunks_exact_mut(out_width.max(1));
        for image in x.chunks_exact((height * width).max(1)) {
            for oy in 0..out_height {
                line(image, oy, rows.next()?)?;
            }
        }
        Some(())
    }
}

/// Output (y, x) is input (floor(y * in / out), floor(x * in / out)), the quotient in float and
/// the result limited to the image. `align_corners` is ignored, as by the original.
///
/// Source: docs/formats.md, v4 opcode 0x0A mode 1, v3 layer types 22 and 23.
#[inline(never)]
pub fn resize_nearest<T: Copy>(p: &Resize, x: &[T], y: &mut [T]) -> Option<()> {
    let [_, _, height, width] = p.input;
    let [out_height, out_width] = p.output;
    let source = |o: usize, scale: f32, size: usize| ((o as f32 * scale) as usize).min(size - 1);
    let vertical = height as f32 / out_height as f32;
    let horizontal = width as f32 / out_width as f32;
    p.lines(x, y, |image, oy, row| {
        let image = image.get(source(oy, vertical, height) * width..)?;
        for (ox, y) in row.iter_mut().enumerate() {
            *y = *image.get(source(ox, horizontal, width))?;
        }
        Some(())
    })
}

/// A pixel type that [`resize_bilinear`] can mix.
pub trait Pixel: Copy {
    /// As a float.
    fn to_f32(self) -> f32;
    /// From a float; bytes truncate.
    fn from_f32(x: f32) -> Self;
}

impl Pixel for f32 {
    fn to_f32(self) -> f32 {
        self
    }
    fn from_f32(x: f32) -> Self {
        x
    }
}

impl Pixel for u8 {
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    fn from_f32(x: f32) -> Self {
        x as u8
    }
}

/// Mixes the four pixels around `(y * scale, x * scale)`; the scale is `in / out`, or
/// `(in - 1) / (out - 1)` with `align_corners`.
///
/// Source: docs/formats.md, v4 opcode 0x0A mode 0.
#[inline(never)]
pub fn resize_bilinear<T: Pixel>(p: &Resize, x: &[T], y: &mut [T]) -> Option<()> {
    let [_, _, height, width] = p.input;
    let [out_height, out_width] = p.output;
    let scale = |input: usize, output: usize| {
        if p.align_corners && output > 1 {
            (input - 1) as f32 / (output - 1) as f32
        } else {
            input as f32 / output as f32
        }
    };
    // Source pixel, the next one inside the image, and the share of the next one.
    let source = |o: usize, scale: f32, size: usize| {
        let position = o as f32 * scale;
        let whole = position as usize;
        (whole.min(size - 1), (whole + 1).min(size - 1), position - trunc(position))
    };
    p.output()?;
    let (vertical, horizontal) = (scale(height, out_height), scale(width, out_width));
    p.lines(x, y, |image, oy, row| {
        let (y0, y1, dy) = source(oy, vertical, height);
        let (upper, lower) = (image.get(y0 * width..)?, image.get(y1 * width..)?);
        for (ox, y) in row.iter_mut().enumerate() {
            let (x0, x1, dx) = source(ox, horizontal, width);
            let mut sum = upper.get(x0)?.to_f32() * ((1.0 - dy) * (1.0 - dx));
            sum += lower.get(x0)?.to_f32() * (dy * (1.0 - dx));
            sum += upper.get(x1)?.to_f32() * ((1.0 - dy) * dx);
            sum += lower.get(x1)?.to_f32() * (dy * dx);
            *y = T::from_f32(sum);
        }
        Some(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resize(input: [usize; 2], output: [usize; 2], align_corners: bool) -> Resize {
        Resize { input: [1, 1, input[0], input[1]], output, align_corners }
    }

    #[test]
    fn nearest() {
        let mut y = [0u8; 8];
        resize_nearest(&resize([2, 2], [2, 4], true), &[1, 2, 3, 4], &mut y).expect("fits");
        assert_eq!(y, [1, 1, 2, 2, 3, 3, 4, 4]);
        let mut y = [0.0; 2];
        resize_nearest(&resize([1, 5], [1, 2], false), &[0.0, 1.0, 2.0, 3.0, 4.0], &mut y)
            .expect("fits");
        assert_eq!(y, [0.0, 2.0]);
    }

    #[test]
    fn bilinear() {
        let mut y = [0.0; 4];
        resize_bilinear(&resize([1, 2], [1, 4], false), &[0.0, 8.0], &mut y).expect("fits");
        assert_eq!(y, [0.0, 4.0, 8.0, 8.0]);
        let mut y = [0.0; 9];
        resize_bilinear(&resize([2, 2], [3, 3], true), &[0.0, 8.0, 16.0, 32.0], &mut y)
            .expect("fits");
        assert_eq!(y, [0.0, 4.0, 8.0, 8.0, 14.0, 20.0, 16.0, 24.0, 32.0]);
        let mut y = [0u8; 2];
        resize_bilinear(&resize([1, 1], [1, 2], true), &[7], &mut y).expect("fits");
        assert_eq!(y, [7, 7]);
        let mut y = [0u8; 4];
        resize_bilinear(&resize([1, 2], [1, 4], false), &[0, 9], &mut y).expect("fits");
        assert_eq!(y, [0, 4, 9, 9]); // 4.5 is cut.
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(resize_nearest(&resize([0, 2], [1, 1], false), &[], &mut [0u8]).is_none());
        assert!(resize_bilinear(&resize([1, 2], [1, 0], false), &[0, 0], &mut [0u8; 0]).is_none());
        assert!(resize_nearest(&resize([1, 2], [1, 2], false), &[0], &mut [0u8; 2]).is_none());
    }
}
