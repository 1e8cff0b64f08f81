//! Puts the taps of neighbouring pixels of an image side by side.

use super::Layout;
use super::convolution::Convolution;
use super::window::Axis;
use core::ops::Range;

/// The geometry of one group of a convolution over one image.
#[derive(Clone, Copy)]
pub(crate) struct Patches {
    layout: Layout,
    vertical: Axis,
    horizontal: Axis,
    /// Input channels of the group.
    channels: usize,
    /// Distances between neighbours along `[C, H, W]` of the input.
    steps: [usize; 3],
    /// Columns of the output.
    pub out_width: usize,
    pixels: usize,
}

/// A place in the filter.
#[derive(Clone, Copy)]
struct Tap {
    channel: usize,
    ky: usize,
    kx: usize,
}

impl Tap {
    const FIRST: Self = Self { channel: 0, ky: 0, kx: 0 };
}

/// Pixels of one channel, and what surrounds them, sorted by what they are modulo the strides: so
/// that neighbouring outputs have neighbouring elements for each tap, also across lines.
pub(crate) struct Tile {
    /// Output lines that a tile serves.
    pub lines: usize,
    /// Output columns that a tile serves.
    pub columns: usize,
    /// From one line to the next.
    pub pitch: usize,
    /// Where each tap of the first output lies.
    pub taps: [usize; Tile::TAPS],
    /// Planes of the tile, vertically and horizontally.
    phases: [usize; 2],
    /// Lines of a plane.
    height: usize,
}

impl Tile {
    const TAPS: usize = 64;
    const COLUMNS: usize = 64;
}

/// Counts up to `limit`, then starts again; whether it did.
#[inline(always)]
fn wraps(counter: &mut usize, limit: usize) -> bool {
    *counter += 1;
    let wraps = *counter == limit;
    if wraps {
        *counter = 0;
    }
    wraps
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
        })
    }

    /// Output pixels of the image.
    pub fn pixels(&self) -> usize {
        self.pixels
    }

    /// What begins with a group's first channel.
    pub fn group<'x, X>(&self, x: &'x [X], index: usize) -> Option<&'x [X]> {
        let [step_c, ..] = self.steps;
        x.get(index * self.channels * step_c..)
    }

    fn tap(&self, index: usize) -> Option<Tap> {
        let split = |index: usize, n: usize| Some((index.checked_div(n)?, index.checked_rem(n)?));
        let (filter_h, filter_w) = (self.vertical.filter, self.horizontal.filter);
        Some(match self.layout {
            Layout::Nchw => {
                let (rest, kx) = split(index, filter_w)?;
                let (channel, ky) = split(rest, filter_h)?;
                Tap { channel, ky, kx }
            }
            Layout::Nhwc => {
                let (rest, channel) = split(index, self.channels)?;
                let (ky, kx) = split(rest, filter_w)?;
                Tap { channel, ky, kx }
            }
        })
    }

    #[inline(always)]
    fn advance(&self, Tap { channel, ky, kx }: &mut Tap) {
        match self.layout {
            Layout::Nchw => {
                if wraps(kx, self.horizontal.filter) && wraps(ky, self.vertical.filter) {
                    *channel += 1;
                }
            }
            Layout::Nhwc => {
                if wraps(channel, self.channels) && wraps(kx, self.horizontal.filter) {
                    *ky += 1;
                }
            }
        }
    }

    /// Copies the taps `taps` of `width` pixels from `pixel` on as `[tap][pixel]`, with 0 for
    /// taps outside the image. `x` begins at the group's first channel.
    pub fn pack<X: Copy, E: Copy + Default>(
        &self,
        x: &[X],
        pixel: usize,
        width: usize,
        taps: Range<usize>,
        into: &mut [E],
        convert: impl Fn(X) -> E,
    ) -> Option<()> {
        let (mut lane, end) = (0, width.min(self.pixels.checked_sub(pixel)?));
        while lane < end {
            let oy = (pixel + lane).checked_div(self.out_width)?;
            let ox = pixel + lane - oy * self.out_width;
            let lanes = lane..end.min(lane + self.out_width - ox);
            let (top, left) = (self.vertical.origin(oy), self.horizontal.origin(ox));
            let mut tap = self.tap(taps.start)?;
            for slots in into.chunks_exact_mut(width.max(1)).take(taps.len()) {
                self.copy(x, tap, top, left, slots.get_mut(lanes.clone())?, &convert)?;
                self.advance(&mut tap);
            }
            lane = lanes.end;
        }
        Some(())
    }

    /// How the pixels of one channel lie in a tile of at most `room` elements; `None` if not even
    /// one window fits, or it has too many taps.
    pub fn tile(&self, room: usize) -> Option<Tile> {
        let reach = |axis: &Axis| (axis.filter - 1) * axis.dilation;
        let phases = |axis: &Axis| axis.stride.min(reach(axis) + 1);
        let (vertical, horizontal) = (&self.vertical, &self.horizontal);
        let more = |axis: &Axis| reach(axis).checked_div(axis.stride);
        let columns = self.out_width.min(Tile::COLUMNS);
        let phases = [phases(vertical), phases(horizontal)];
        let pitch = columns + more(horizontal)?;
        let room = room.checked_div(phases[0].checked_mul(phases[1])?.checked_mul(pitch)?)?;
        let lines = room.checked_sub(more(vertical)?)?.min(self.pixels.checked_div(columns)?);
        let height = lines + more(vertical)?;
        let mut taps = [0; Tile::TAPS];
        let mut slots = taps.iter_mut();
        for ky in 0..vertical.filter {
            for kx in 0..horizontal.filter {
                let (y, x) = (ky * vertical.dilation, kx * horizontal.dilation);
                let plane = y.checked_rem(vertical.stride)? * phases[1]
                    + x.checked_rem(horizontal.stride)?;
                let line = plane * height + y.checked_div(vertical.stride)?;
                *slots.next()? = line * pitch + x.checked_div(horizontal.stride)?;
            }
        }
        (lines > 0).then_some(Tile { lines, columns, pitch, taps, phases, height })
    }

    /// Fills a tile with one channel's pixels, and with 0 around the image, for the outputs from
    /// `[line, column]` on.
    pub fn fill<X: Copy, E: Copy + Default>(
        &self,
        tile: &Tile,
        x: &[X],
        [oy, ox]: [usize; 2],
        into: &mut [E],
        convert: impl Fn(X) -> E,
    ) -> Option<()> {
        let mut slots = into.chunks_exact_mut(tile.pitch.max(1));
        let [phases_y, phases_x] = tile.phases;
        for phase_y in 0..phases_y {
            for phase_x in 0..phases_x {
                let left = self.horizontal.origin(ox) + phase_x as isize;
                for line in oy..oy + tile.height {
                    let top = self.vertical.origin(line) + phase_y as isize;
                    self.copy(x, Tap::FIRST, top, left, slots.next()?, &convert)?;
                }
            }
        }
        Some(())
    }

    /// Copies one tap of pixels of one line, the first of which has its window at (top, left).
    #[inline(always)]
    fn copy<X: Copy, E: Copy + Default>(
        &self,
        x: &[X],
        tap: Tap,
        top: isize,
        left: isize,
        slots: &mut [E],
        convert: &impl Fn(X) -> E,
    ) -> Option<()> {
        let iy = top.wrapping_add((tap.ky * self.vertical.dilation) as isize);
        let ix = left.wrapping_add((tap.kx * self.horizontal.dilation) as isize);
        if iy as usize >= self.vertical.input {
            slots.fill(E::default());
            return Some(());
        }
        let (first, slots) = self.inside(ix, slots)?;
        let [step_c, step_y, step_x] = self.steps;
        let x = x.get(tap.channel * step_c + iy as usize * step_y + first * step_x..)?;
        let step = (self.horizontal.stride * step_x).max(1);
        // Fours are written out, because a plain loop becomes a call of memcpy, which on the chip
        // goes byte by byte where the alignments modulo 8 differ.
        let (fours, rest) =
            if step == 1 { slots.as_chunks_mut::<4>() } else { (&mut [][..], slots) };
        for (four, &[a, b, c, d]) in fours.iter_mut().zip(x.as_chunks().0) {
            *four = [convert(a), convert(b), convert(c), convert(d)];
        }
        let x = x.get(4 * fours.len()..)?.iter().step_by(step);
        rest.iter_mut().zip(x).for_each(|(slot, &x)| *slot = convert(x));
        Some(())
    }

    /// The slots whose pixels lie inside the image's columns, and the column of the first of them;
    /// the others become 0. The first of all slots belongs to column `ix`.
    #[inline(always)]
    fn inside<'s, E: Copy + Default>(
        &self,
        ix: isize,
        slots: &'s mut [E],
    ) -> Option<(usize, &'s mut [E])> {
        let (width, stride) = (self.horizontal.input, self.horizontal.stride);
        if ix >= 0 && ix as usize + (slots.len() - 1) * stride < width {
            return Some((ix as usize, slots));
        }
        let inside = self.horizontal.inside(ix, slots.len());
        let (slots, outside) = slots.split_at_mut_checked(inside.end)?;
        outside.fill(E::default());
        let (outside, slots) = slots.split_at_mut_checked(inside.start)?;
        outside.fill(E::default());
        let start = inside.start;
        Some((if slots.is_empty() { 0 } else { (ix + (start * stride) as isize) as usize }, slots))
    }
}
