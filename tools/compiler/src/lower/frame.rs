//! Images in KPU RAM that are larger than the tensor they hold.
//!
//! The KPU pads by one pixel and steps by pooling only. Whatever else a layer needs (no padding,
//! more padding, a step that begins at another pixel, images below 4 x 4) is a matter of where in
//! the image the tensor lies: pixels around it are ignored by whoever reads it.

/// Where a tensor lies in its image; pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Pixels before the tensor.
    pub before: [usize; 2],
    /// Size of the tensor.
    pub inner: [usize; 2],
    /// Size of the image.
    pub size: [usize; 2],
    /// Whether the pixels around the tensor stand for 0.
    pub clean: bool,
}

/// The smallest image that nncase lets the KPU read, in each direction; results may be smaller.
const SMALLEST: usize = 4;
/// The largest images, (height, width).
const LARGEST: [usize; 2] = [512, 512];

/// What a layer does along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    /// Half of the kernel: 0 or 1.
    pub radius: usize,
    /// Distance of the pixels that stay: the convolution's own step.
    pub step: usize,
    /// Window and step of a pool behind.
    pub pool: usize,
    /// Padding of the operator.
    pub pad: (usize, usize),
    /// Results of the operator, before the pool.
    pub count: usize,
}

impl Frame {
    /// An image that is nothing but the tensor.
    pub fn exact(inner: [usize; 2]) -> Self {
        Self { before: [0, 0], inner, size: inner, clean: true }
    }

    /// The smallest image for a tensor that the KPU can read and step over, clean around it.
    pub fn framed(inner: [usize; 2], stride: [usize; 2]) -> Self {
        let size = |axis: usize| inner[axis].max(SMALLEST).next_multiple_of(stride[axis]);
        Self { size: [size(0), size(1)], ..Self::exact(inner) }
    }

    /// Whether the image is the tensor.
    pub fn is_exact(&self) -> bool {
        self.size == self.inner
    }

    /// Whether the KPU can read images of this size.
    pub fn is_possible(&self) -> bool {
        (0..2).all(|a| self.size[a] >= SMALLEST && self.size[a] <= LARGEST[a])
    }

    /// The frame of the result if a layer walks over this one, or `None` if it cannot.
    ///
    /// `offset` is the pixel of each window that a stepping layer keeps.
    pub fn walked(&self, walks: [Walk; 2], offset: [usize; 2]) -> Option<Frame> {
        let mut out = Frame { before: [0; 2], inner: [0; 2], size: [0; 2], clean: true };
        for axis in 0..2 {
            let w = walks[axis];
            let (before, inner, size) = (self.before[axis], self.inner[axis], self.size[axis]);
            // Image position of the first and last result.
            let first = (before + w.radius).checked_sub(w.pad.0)?;
            let last = first + w.step * (w.count - 1);
            if first < w.radius && before > 0 && !self.clean {
                return None;
            }
            // Taps outside of the tensor must see zeros: the KPU's padding, or a clean border.
            let front_clean = w.pad.0 == 0 || before == 0 || self.clean;
            let back_reads = last + w.radius >= before + inner;
            let back_clean = !back_reads || before + inner == size || self.clean;
            let stride = w.step * w.pool;
            if !front_clean || !back_clean || first % stride != offset[axis] {
                return None;
            }
            out.before[axis] = first / stride;
            out.inner[axis] = w.count / w.pool;
            out.size[axis] = size / stride;
            if out.before[axis] + out.inner[axis] > out.size[axis] {
                return None;
            }
        }
        out.clean = out.is_exact();
        self.is_possible().then_some(out)
    }

    /// The smallest clean frame for a tensor of `inner` over which a layer can walk, and another one
    /// over the result.
    pub fn fresh(inner: [usize; 2], walks: [Walk; 2], offset: [usize; 2]) -> Option<Frame> {
        let mut found = Frame::exact(inner);
        for axis in 0..2 {
            let stride = walks[axis].step * walks[axis].pool;
            let (before, size) = (0..=stride.max(walks[axis].pad.0 + 1))
                .flat_map(|b| {
                    (b + inner[axis]..b + inner[axis] + 4 * stride + 4).map(move |s| (b, s))
                })
                .filter(|&(before, size)| {
                    // The other axis is made to fit, so that this one decides alone.
                    let mut frame = Frame {
                        before: [before; 2],
                        inner: [inner[axis]; 2],
                        size: [size; 2],
                        clean: true,
                    };
                    frame.size = [size; 2];
                    frame
                        .walked([walks[axis]; 2], [offset[axis]; 2])
                        .is_some_and(|out| out.is_possible())
                })
                .min_by_key(|&(before, size)| (size, before))?;
            (found.before[axis], found.size[axis]) = (before, size);
        }
        found.walked(walks, offset).map(|_| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(radius: usize, step: usize, pad: (usize, usize), input: usize) -> Walk {
        let count = (input + pad.0 + pad.1 - 2 * radius - 1) / step + 1;
        Walk { radius, step, pool: 1, pad, count }
    }

    #[test]
    fn same_convolutions_need_no_frame() {
        let walks = [walk(1, 1, (1, 1), 14); 2];
        assert_eq!(Frame::fresh([14, 14], walks, [0, 0]), Some(Frame::exact([14, 14])));
        assert_eq!(Frame::exact([14, 14]).walked(walks, [0, 0]), Some(Frame::exact([14, 14])));
    }

    #[test]
    fn valid_convolutions_leave_a_border() {
        let walks = [walk(1, 1, (0, 0), 14); 2];
        let out = Frame::exact([14, 14]).walked(walks, [0, 0]).expect("possible");
        assert_eq!(
            (out.before, out.inner, out.size, out.clean),
            ([1, 1], [12, 12], [14, 14], false)
        );
        let again = out.walked([walk(1, 1, (0, 0), 12); 2], [0, 0]).expect("possible");
        assert_eq!((again.before, again.inner), ([2, 2], [10, 10]));
        assert_eq!(out.walked([walk(1, 1, (1, 1), 12); 2], [0, 0]), None);
    }

    #[test]
    fn tensorflows_step_of_two_begins_at_pixel_one() {
        let walks = [walk(1, 2, (0, 1), 16); 2];
        assert_eq!(Frame::exact([16, 16]).walked(walks, [0, 0]), None);
        let fresh = Frame::fresh([16, 16], walks, [0, 0]).expect("possible");
        assert_eq!((fresh.before, fresh.size), ([1, 1], [18, 18]));
        // The right pixel of the upper line is there without a border to the left.
        let fresh = Frame::fresh([16, 16], walks, [0, 1]).expect("possible");
        assert_eq!((fresh.before, fresh.size), ([1, 0], [18, 16]));
    }

    #[test]
    fn single_pixels_become_four_by_four() {
        let walks = [walk(0, 1, (0, 0), 1); 2];
        let fresh = Frame::fresh([1, 1], walks, [0, 0]).expect("possible");
        assert_eq!((fresh.before, fresh.size), ([0, 0], [4, 4]));
    }
}
