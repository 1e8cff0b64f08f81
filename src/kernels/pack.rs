//! Puts the taps of neighbouring pixels of an image side by side.

use core::ops::Range;

use super::Layout;
use super::convolution::Convolution;
use super::numbers::Numbers;
use super::window::{Axis, inside};

/// The geometry of one group of a convolution over one image.
pub(crate) struct Patches {
    layout: Layout,
    pub vertical: Axis,
    pub horizontal: Axis,
    /// Input channels of the group.
    channels: usize,
    /// Distances between neighbours along `[C, H, W]` of the input.
    pub steps: [usize; 3],
    /// Columns of the output.
    pub out_width: usize,
    pixels: usize,
    /// Whether pixels of the output are pixels of the input.
    pointwise: bool,
}

/// Neighbouring taps of one line of the image. Pixels outside the line are outside the image.
#[derive(Clone, Copy)]
pub(crate) struct Taps {
    /// Where the line begins.
    line: usize,
    /// Pixels of the line.
    width: usize,
    /// Distance between pixels.
    step: usize,
    /// The pixel of the first tap of the first output; may be outside the line.
    first: isize,
    /// Pixels from one output to the next.
    stride: usize,
    /// Pixels and elements from one tap to the next.
    next: [usize; 2],
}

impl Taps {
    /// Copies each of the taps of `pixels` outputs to one line of `into`, of `pitch`.
    #[inline(never)]
    pub fn copy(
        self,
        numbers: &dyn Numbers,
        pixels: usize,
        into: &mut [f32],
        pitch: usize,
    ) -> Option<()> {
        let Self { mut line, width, step, mut first, stride, next: [further, elements] } = self;
        let reach = (pixels - 1) * stride;
        for slots in into.chunks_mut(pitch.max(1)) {
            let mut slots = slots.get_mut(..pixels)?;
            let mut from = first as usize;
            if first < 0 || from + reach >= width {
                let outside = numbers.outside();
                let inside = inside(first, width, stride, pixels);
                let (rest, behind) = slots.split_at_mut_checked(inside.end)?;
                let (before, rest) = rest.split_at_mut_checked(inside.start)?;
                before.iter_mut().for_each(|slot| *slot = outside);
                behind.iter_mut().for_each(|slot| *slot = outside);
                from = from.wrapping_add(inside.start * stride);
                slots = rest;
            }
            if !slots.is_empty() {
                numbers.read(line + from * step, stride * step, slots)?;
            }
            first = first.wrapping_add_unsigned(further);
            line = line.wrapping_add(elements);
        }
        Some(())
    }
}

impl Patches {
    pub fn new(p: &Convolution) -> Option<Self> {
        let [_, channels, height, width] = p.input;
        let [_, _, out_height, out_width] = p.output()?;
        Some(Self {
            layout: p.layout,
            vertical: p.window.axis(0, height)?,
            horizontal: p.window.axis(1, width)?,
            channels: channels.checked_div(p.groups)?,
            steps: p.layout.steps(&p.input),
            out_width,
            pixels: out_height * out_width,
            pointwise: p.window.is_point(),
        })
    }

    /// Output pixels of the image.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// Where a group's first channel begins in the image.
    pub fn group(&self, index: usize) -> usize {
        let [step_c, ..] = self.steps;
        index * self.channels * step_c
    }

    /// Copies the taps `taps` of `pixels` pixels from `pixel` on as `[tap][pixel]`, `width` apart. `x`
    /// is where the group's first channel begins.
    pub fn pack(
        &self,
        numbers: &dyn Numbers,
        x: usize,
        [pixel, pixels, width]: [usize; 3],
        taps: Range<usize>,
        into: &mut [f32],
    ) -> Option<()> {
        let [step_c, _, step_x] = self.steps;
        let into = into.get_mut(..taps.len() * width)?;
        let stride = self.horizontal.stride;
        if self.pointwise {
            if width == 1 {
                let (line, first) = (x + pixel * step_x, taps.start as isize);
                let next = [0, 0];
                let pixels = Taps { line, width: self.channels, step: step_c, first, stride, next };
                return pixels.copy(numbers, taps.len(), into, taps.len());
            }
            let (line, first) = (x + taps.start * step_c, pixel as isize);
            let next = [0, step_c];
            let taps = Taps { line, width: self.pixels, step: step_x, first, stride, next };
            return taps.copy(numbers, pixels, into, width);
        }
        let (filter_h, filter_w) = (self.vertical.filter, self.horizontal.filter);
        let dilation = self.horizontal.dilation;
        // Taps that are in one line of the image, how the next of them is found, and how many such
        // lines follow one another before something else changes.
        let (together, next, lines) = match self.layout {
            Layout::Nchw => (filter_w, [dilation, 0], filter_h),
            Layout::Nhwc => (self.channels, [0, 1], filter_w),
        };
        let (first_line, first_index) =
            (taps.start.checked_div(together)?, taps.start.checked_rem(together)?);
        let (outer, inner) = (first_line.checked_div(lines)?, first_line.checked_rem(lines)?);
        let mut lane = 0;
        while lane < pixels {
            let oy = (pixel + lane).checked_div(self.out_width)?;
            let ox = pixel + lane - oy * self.out_width;
            let lanes = pixels.min(lane + self.out_width - ox) - lane;
            let (top, left) = (self.vertical.origin(oy), self.horizontal.origin(ox));
            let (mut outer, mut inner, mut index) = (outer, inner, first_index);
            let mut into = into.get_mut(lane..)?;
            while !into.is_empty() {
                let (channel, ky, kx) = match self.layout {
                    Layout::Nchw => (outer, inner, index),
                    Layout::Nhwc => (index, outer, inner),
                };
                let iy = top + (ky * self.vertical.dilation) as isize;
                let first = left + (kx * dilation) as isize;
                let taps = self.line(x + channel * step_c, [iy, first], stride, next);
                let (now, later) = into.split_at_mut(into.len().min((together - index) * width));
                taps.copy(numbers, lanes, now, width)?;
                (into, index, inner) = (later, 0, inner + 1);
                if inner == lines {
                    (inner, outer) = (0, outer + 1);
                }
            }
            lane += lanes;
        }
        Some(())
    }

    /// Taps of outputs `stride` apart, the first of which is at `[y, x]`; `channel` is where its
    /// channel begins.
    pub fn line(
        &self,
        channel: usize,
        [iy, first]: [isize; 2],
        stride: usize,
        next: [usize; 2],
    ) -> Taps {
        let [_, step_y, step] = self.steps;
        let inside = (iy as usize) < self.vertical.input;
        let width = if inside { self.horizontal.input } else { 0 };
        let line = channel.wrapping_add(step_y.wrapping_mul(iy as usize));
        Taps { line, width, step, first, stride, next }
    }
}
