//! Compound fields of kmodel v4: ranges, shapes, windows. Layout: docs/formats.md, section v4.

use crate::{
    error::{Error, Kind, Result, What},
    model::reader::{Field, Reader, Sink, body, count},
    tensor::{Shape, elements},
};

pub use crate::model::range::{Limits, Memory, Range};

impl Field for Shape4 {
    #[inline(never)]
    fn read(reader: &mut Reader<'_>) -> Self {
        let (offset, dims) = (reader.offset(), reader.field::<[i32; 4]>());
        match shape(dims) {
            Ok(shape) => Self(shape),
            Err(error) => {
                reader.fail(error.at(offset as u64));
                Self([1; 4])
            }
        }
    }

    fn write(&self, sink: Sink<'_>) {
        for dim in self.0 {
            (dim as i32).write(sink);
        }
    }
}

fn shape(dims: [i32; 4]) -> Result<Shape> {
    let mut shape = [1; 4];
    for (size, dim) in shape.iter_mut().zip(dims) {
        *size = count(What::Dimension, dim.into(), 1 << 30)?;
    }
    match elements(&shape) {
        Some(n) if n <= 1 << 30 => Ok(shape),
        n => {
            let values = [n.map_or(u64::MAX, |n| n as u64), 1 << 30];
            Err(Error::about(Kind::Count, What::ProductOfTheDimensions, values))
        }
    }
}

/// A stored shape: N, C, H, W, all at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape4(pub Shape);

impl Shape4 {
    /// Elements of the shape.
    pub fn elements(&self) -> usize {
        elements(&self.0).unwrap_or(0)
    }
}

body! {
    /// Elements added before and after; negative numbers crop.
    Pad {
        /// Elements before.
        before: i32,
        /// Elements after.
        after: i32,
    }
}

body! {
    /// The interval that results are cut to.
    Clamp {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    }
}

body! {
    /// How bytes stand for real numbers in v4: `real = (byte - zero_point) / scale`.
    QuantParam {
        /// The byte that stands for 0.
        zero_point: i32,
        /// Bytes per unit.
        scale: f32,
    }
}

body! {
    /// A sliding window over H and W.
    Window {
        /// Padding of H.
        pad_h: Pad,
        /// Padding of W.
        pad_w: Pad,
        /// Taps in H.
        filter_h: i32,
        /// Taps in W.
        filter_w: i32,
        /// Step in H.
        stride_h: i32,
        /// Step in W.
        stride_w: i32,
        /// Distance of taps in H.
        dilation_h: i32,
        /// Distance of taps in W.
        dilation_w: i32,
    }
}

impl Window {
    /// Largest value of each number of a window.
    const MAX: i64 = 1 << 16;

    /// Taps of one window.
    pub fn taps(&self) -> usize {
        let [h, w] = [self.filter_h, self.filter_w].map(|n| usize::try_from(n).unwrap_or(0));
        h.saturating_mul(w)
    }

    /// Checks every number alone.
    pub fn check(&self) -> Result<()> {
        for (what, value) in [
            (What::FilterHeight, self.filter_h),
            (What::FilterWidth, self.filter_w),
            (What::StrideInH, self.stride_h),
            (What::StrideInW, self.stride_w),
            (What::DilationInH, self.dilation_h),
            (What::DilationInW, self.dilation_w),
        ] {
            count(what, value.into(), Self::MAX)?;
        }
        for pad in [self.pad_h, self.pad_w] {
            for value in [pad.before, pad.after] {
                if i64::from(value).abs() > Self::MAX {
                    return Err(Error::about(Kind::Field, What::Padding, [value as i64 as u64, 0]));
                }
            }
        }
        Ok(())
    }
}
