//! Pools: reduction of sliding windows.

use core::ops::Range;

use super::reduce::ReduceOp;
use super::strided::each;
use super::window::{Window, inside};
use super::{Clamp, Layout};
use crate::math::min;
use crate::tensor::{Shape, elements};

/// Sizes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How input and output lie in memory.
    pub layout: Layout,
    /// Input shape, `[N, C, H, W]` whatever the layout.
    pub input: Shape,
    /// Output height and width. Kmodel v4 has those of [`Window::output`], v3 states its own.
    pub output: [usize; 2],
    /// The window and how it slides.
    pub window: Window,
}

impl Pool {
    /// A pool with as many outputs as the window has places.
    pub fn new(layout: Layout, input: Shape, window: Window) -> Option<Self> {
        let [_, _, height, width] = input;
        Some(Self { layout, input, output: window.output([height, width])?, window })
    }

    /// Output shape; `None` if the sizes are beyond all reason.
    pub fn output(&self) -> Option<Shape> {
        let [batches, channels, height, width] = self.input;
        let (vertical, horizontal) = (self.window.axis(0, height)?, self.window.axis(1, width)?);
        let [out_height, out_width] = self.output;
        (vertical.stride | horizontal.stride).checked_mul(out_height.max(out_width))?;
        let shape = [batches, channels, out_height, out_width];
        elements(&self.input)?;
        elements(&shape)?;
        Some(shape)
    }

    /// Calls `tap` for each tap of a line of windows, or with NHWC of each window, in rows from the
    /// top, from the left or from the right: with the number of the tap in the window, the outputs, and
    /// where the first one's element lies in the input.
    #[inline(never)]
    pub(crate) fn walk(
        &self,
        from_right: bool,
        tap: &mut dyn FnMut(usize, Range<usize>, usize) -> Option<()>,
    ) -> Option<()> {
        let [batches, channels, height, width] = self.input;
        let (vertical, horizontal) = (self.window.axis(0, height)?, self.window.axis(1, width)?);
        let (images, depth) = match self.layout {
            Layout::Nchw => (batches * channels, 1),
            Layout::Nhwc => (batches, channels),
        };
        let [out_height, out_width] = self.output;
        for image in 0..images {
            for oy in 0..out_height {
                let line = (image * out_height + oy) * out_width;
                let top = vertical.origin(oy);
                for ky in vertical.taps(top) {
                    let iy = (top + (ky * vertical.dilation) as isize) as usize;
                    let row = (image * height + iy) * width;
                    for k in 0..horizontal.filter {
                        let kx = if from_right { horizontal.filter - 1 - k } else { k };
                        let number = ky * horizontal.filter + kx;
                        let first = horizontal.origin(0) + (kx * horizontal.dilation) as isize;
                        let inside = inside(first, width, horizontal.stride, out_width);
                        let at = |ox: usize| {
                            row.wrapping_add_signed(first + (ox * horizontal.stride) as isize)
                        };
                        match self.layout {
                            Layout::Nchw if inside.is_empty() => {}
                            Layout::Nchw => {
                                let outputs = line + inside.start..line + inside.end;
                                tap(number, outputs, at(inside.start))?;
                            }
                            Layout::Nhwc => {
                                for ox in inside {
                                    let y = (line + ox) * depth;
                                    tap(number, y..y + depth, at(ox) * depth)?;
                                }
                            }
                        }
                    }
                }
            }
        }
        Some(())
    }

    /// Puts together the elements of each window that lie inside the image, from `init`.
    #[inline]
    fn combine<T: Copy>(
        &self,
        x: &[T],
        y: &mut [T],
        init: T,
        line: impl Fn(&mut [T], &[T], usize),
    ) -> Option<()> {
        let output = self.output()?;
        (elements(&self.input)? == x.len() && elements(&output)? == y.len()).then_some(())?;
        y.fill(init);
        let step = match self.layout {
            Layout::Nchw => self.window.axis(1, 1)?.stride,
            Layout::Nhwc => 1,
        };
        self.walk(false, &mut |_, outputs, at| {
            line(y.get_mut(outputs)?, x.get(at..)?, step);
            Some(())
        })
    }

    /// Divides each sum by the number of its elements.
    fn divide(&self, y: &mut [f32]) -> Option<()> {
        let [_, channels, height, width] = self.input;
        let (vertical, horizontal) = (self.window.axis(0, height)?, self.window.axis(1, width)?);
        let [out_height, out_width] = self.output;
        let depth = match self.layout {
            Layout::Nchw => 1,
            Layout::Nhwc => channels,
        };
        for image in y.chunks_exact_mut((out_height * out_width * depth).max(1)) {
            for (oy, line) in image.chunks_exact_mut((out_width * depth).max(1)).enumerate() {
                let rows = vertical.taps(vertical.origin(oy)).len();
                for (ox, y) in line.chunks_exact_mut(depth.max(1)).enumerate() {
                    let taps = rows * horizontal.taps(horizontal.origin(ox)).len();
                    y.iter_mut().for_each(|y| *y /= taps as f32);
                }
            }
        }
        Some(())
    }
}

/// Calls `op` with each of `y` and what belongs to it in `x`: the same as [`each`] in less code.
#[inline(always)]
fn steps<T>(y: &mut [T], x: &[T], step: usize, op: impl Fn(&mut T, &T)) {
    y.iter_mut().zip(x.iter().step_by(step.max(1))).for_each(|(y, x)| op(y, x));
}

/// Each output starts with `init` and takes the elements of its window that lie inside the image;
/// a mean is the sum divided by their number. Clamped.
///
/// Source: docs/formats.md, v4 opcodes 0x08 and 0x1003.
#[inline(never)]
pub fn reduce_window(
    p: &Pool,
    op: ReduceOp,
    init: f32,
    clamp: Clamp,
    x: &[f32],
    y: &mut [f32],
) -> Option<()> {
    p.combine(x, y, init, |y, x, step| match op {
        ReduceOp::Mean | ReduceOp::Sum => steps(y, x, step, |y, x| *y += x),
        ReduceOp::Min => steps(y, x, step, |y, x| *y = min(*y, *x)),
        // The one that models have most; it mostly writes nothing.
        ReduceOp::Max => each(y, x, step, |y, x| {
            if *y < *x {
                *y = *x;
            }
        }),
    })?;
    if op == ReduceOp::Mean {
        p.divide(y)?;
    }
    clamp.limit(y);
    Some(())
}

/// The largest byte of each window, at least 0.
///
/// Source: docs/formats.md, v3 layer type 8. The float average pool, type 9, is
/// [`reduce_window`] with [`ReduceOp::Mean`].
#[inline(never)]
pub fn max_pool_u8(p: &Pool, x: &[u8], y: &mut [u8]) -> Option<()> {
    p.combine(x, y, 0, |y, x, step| steps(y, x, step, |y, x| *y = *x.max(y)))
}

#[cfg(test)]
mod tests {
    use super::super::window::Pad;
    use super::*;
    use proptest::prelude::*;

    fn window(filter: usize, stride: usize, dilation: usize, before: i32, after: i32) -> Window {
        let pad = [Pad { before, after }; 2];
        Window { filter: [filter; 2], stride: [stride; 2], dilation: [dilation; 2], pad }
    }

    #[test]
    fn by_hand() {
        let x: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let p = Pool::new(Layout::Nchw, [1, 1, 3, 3], window(2, 2, 1, 1, 0)).expect("sane");
        let mut y = [0.0; 4];
        reduce_window(&p, ReduceOp::Mean, 0.0, Clamp::NONE, &x, &mut y).expect("fits");
        assert_eq!(y, [1.0, 2.5, 5.5, 7.0]);
        reduce_window(&p, ReduceOp::Sum, 1.0, Clamp { min: 0.0, max: 20.0 }, &x, &mut y)
            .expect("fits");
        assert_eq!(y, [2.0, 6.0, 12.0, 20.0]);
        reduce_window(&p, ReduceOp::Min, 3.0, Clamp::NONE, &x, &mut y).expect("fits");
        assert_eq!(y, [1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn v3_states_its_own_output_size() {
        let p = Pool {
            layout: Layout::Nchw,
            input: [1, 1, 2, 2],
            output: [2, 2],
            window: window(2, 1, 1, 0, 0),
        };
        let mut y = [0; 4];
        max_pool_u8(&p, &[4, 3, 2, 1], &mut y).expect("fits");
        assert_eq!(y, [4, 3, 2, 1]);
        let p = Pool { output: [usize::MAX, 2], ..p };
        assert!(max_pool_u8(&p, &[4, 3, 2, 1], &mut y).is_none());
    }

    proptest! {
        #[test]
        fn both_layouts_and_the_definition_agree(
            shape in [1usize..3, 1usize..4, 1usize..8, 1usize..8],
            filter in 1usize..5, stride in 1usize..4, dilation in 1usize..4,
            before in -1i32..4, after in -1i32..4, seed in any::<u32>(),
        ) {
            let window = window(filter, stride, dilation, before, after);
            let Some(p) = Pool::new(Layout::Nchw, shape, window) else { return Ok(()) };
            let [n, c, h, w] = shape;
            let [oh, ow] = p.output;
            let value = |i: usize| (i as u32).wrapping_mul(seed | 1) as u8;
            let x: Vec<u8> = (0..n * c * h * w).map(value).collect();
            let mut y = vec![0; n * c * oh * ow];
            max_pool_u8(&p, &x, &mut y).expect("fits");
            let at = |shape: [usize; 4], [i, j, k, l]: [usize; 4]| {
                ((i * shape[1] + j) * shape[2] + k) * shape[3] + l
            };
            let mut x_nhwc = x.clone();
            for i in 0..x.len() {
                let [x, y, c_, n_] = [i % w, i / w % h, i / w / h % c, i / w / h / c];
                x_nhwc[at([n, h, w, c], [n_, y, x, c_])] = value(i);
            }
            let mut y_nhwc = y.clone();
            max_pool_u8(&Pool { layout: Layout::Nhwc, ..p }, &x_nhwc, &mut y_nhwc).expect("fits");
            for (i, &max) in y.iter().enumerate() {
                let [ox, oy, c_, n_] = [i % ow, i / ow % oh, i / ow / oh % c, i / ow / oh / c];
                let mut expected = 0;
                for (ky, kx) in (0..filter).flat_map(|ky| (0..filter).map(move |kx| (ky, kx))) {
                    let iy = (oy * stride + ky * dilation) as i32 - before;
                    let ix = (ox * stride + kx * dilation) as i32 - before;
                    if (0..h as i32).contains(&iy) && (0..w as i32).contains(&ix) {
                        expected = expected.max(x[at(shape, [n_, c_, iy as usize, ix as usize])]);
                    }
                }
                prop_assert_eq!(max, expected);
                prop_assert_eq!(y_nhwc[at([n, oh, ow, c], [n_, oy, ox, c_])], expected);
            }
        }
    }
}
