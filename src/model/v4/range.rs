//! Compound fields of kmodel v4: ranges, shapes, windows. Layout: docs/formats.md, section v4.

use crate::{
    error::{Error, Kind, Result, What},
    model::reader::{Field, Part, body, check_count},
    tensor::{Shape, elements},
};

pub use crate::model::range::{Limits, Memory, Range};

/// A stored shape: N, C, H, W, all at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Shape4(pub [u32; 4]);

impl Field for Shape4 {
    const PARTS: &'static [Part] = &[Part::SHAPE];
    const PART: Part = Part::SHAPE;
    const ZERO: &'static Self = &Self([0; 4]);
}

impl From<Shape> for Shape4 {
    fn from(shape: Shape) -> Self {
        Self(shape.map(|size| size as u32))
    }
}

impl Shape4 {
    /// N, C, H, W.
    #[inline(never)]
    pub fn sizes(&self) -> Shape {
        self.0.map(|size| size as usize)
    }

    /// Elements of the shape.
    #[inline(never)]
    pub fn elements(&self) -> usize {
        elements(&self.sizes()).unwrap_or(0)
    }
}

/// Checks four sizes of the file.
pub(in crate::model) fn check(sizes: &[u32]) -> Result<()> {
    const LIMIT: u64 = 1 << 30;
    let mut product = Some(1u64);
    for &size in sizes {
        check_count(What::Dimension, i64::from(size as i32), LIMIT as i64)?;
        product = product.and_then(|product| product.checked_mul(size.into()));
    }
    match product {
        Some(n) if n <= LIMIT => Ok(()),
        n => {
            let values = [n.unwrap_or(u64::MAX), LIMIT];
            Err(Error::about(Kind::Count, What::ProductOfTheDimensions, values))
        }
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
        const NUMBERS: [What; 6] = [
            What::FilterHeight,
            What::FilterWidth,
            What::StrideInH,
            What::StrideInW,
            What::DilationInH,
            What::DilationInW,
        ];
        let [pads @ .., _, _, _, _, _, _]: &[i32; 10] = bytemuck::must_cast_ref(self);
        let [_, _, _, _, numbers @ ..]: &[i32; 10] = bytemuck::must_cast_ref(self);
        for (&what, &value) in NUMBERS.iter().zip(numbers) {
            check_count(what, value.into(), Self::MAX)?;
        }
        match pads.iter().find(|&&pad| i64::from(pad).abs() > Self::MAX) {
            Some(&pad) => Err(Error::about(Kind::Field, What::Padding, [pad as i64 as u64, 0])),
            None => Ok(()),
        }
    }
}
