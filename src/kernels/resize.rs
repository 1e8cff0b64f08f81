//! Resizing of images: nearest neighbour and bilinear.

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

    /// Calls `line` for each line of the output: with the two lines of the input that it lies between,
    /// its distance from the first, and the way along the line. `lengths` are those of input and output.
    #[inline(never)]
    fn lines(
        &self,
        lengths: [usize; 2],
        align_corners: bool,
        line: &mut dyn FnMut([usize; 2], f32, Scale) -> Option<()>,
    ) -> Option<()> {
        let output = self.output()?;
        (lengths == [elements(&self.input)?, elements(&output)?]).then_some(())?;
        let [batches, channels, height, width] = self.input;
        let [out_height, out_width] = self.output;
        let vertical = Scale::new(height, out_height, align_corners);
        let horizontal = Scale::new(width, out_width, align_corners);
        for image in 0..batches * channels {
            for oy in 0..out_height {
                let (near, distance) = vertical.source(oy);
                line(near.map(|y| (image * height + y) * width), distance, horizontal)?;
            }
        }
        Some(())
    }
}

/// From pixels of the output to those of the input along an axis.
#[derive(Clone, Copy)]
struct Scale {
    factor: f32,
    /// The last pixel of the input.
    last: usize,
}

impl Scale {
    /// Of an output with at least one pixel.
    fn new(input: usize, output: usize, align_corners: bool) -> Self {
        let last = input.saturating_sub(1);
        let factor = match align_corners && output > 1 {
            true => last as f32 / (output - 1) as f32,
            false => input as f32 / output as f32,
        };
        Self { factor, last }
    }

    /// The pixel of the input and the next one, and the distance from the first.
    #[inline(always)]
    fn source(self, o: usize) -> ([usize; 2], f32) {
        let position = o as f32 * self.factor;
        let whole = position as usize;
        ([whole.min(self.last), (whole + 1).min(self.last)], position - whole as f32)
    }
}

/// Output (y, x) is input (floor(y * in / out), floor(x * in / out)), the quotient in float and
/// the result limited to the image. `align_corners` is ignored, as by the original.
///
/// Source: docs/formats.md, v4 opcode 0x0A mode 1, v3 layer types 22 and 23.
#[inline(never)]
pub fn resize_nearest<T: Copy>(p: &Resize, x: &[T], y: &mut [T]) -> Option<()> {
    let [_, out_width] = p.output;
    let lengths = [x.len(), y.len()];
    let mut rows = y.chunks_exact_mut(out_width.max(1));
    p.lines(lengths, false, &mut |[line, _], _, horizontal| {
        let x = x.get(line..)?;
        for (ox, y) in rows.next()?.iter_mut().enumerate() {
            let ([at, _], _) = horizontal.source(ox);
            *y = *x.get(at)?;
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
    let [_, out_width] = p.output;
    let lengths = [x.len(), y.len()];
    let mut rows = y.chunks_exact_mut(out_width.max(1));
    p.lines(lengths, p.align_corners, &mut |[upper, lower], dy, horizontal| {
        let (upper, lower) = (x.get(upper..)?, x.get(lower..)?);
        for (ox, y) in rows.next()?.iter_mut().enumerate() {
            let ([x0, x1], dx) = horizontal.source(ox);
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
