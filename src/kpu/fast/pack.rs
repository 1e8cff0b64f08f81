//! Pixels and weights in the order in which the dot products read them.

use core::array;

use crate::kpu::{
    Job, Kernel, Layer, Pool,
    fast::{BLOCK, LANES, Simd},
    memory::{ROW_BYTES, RowLayout},
};

/// Most taps of a kernel.
pub(super) const TAPS: usize = 9;

/// Where the pixels of a layer lie once they are packed.
///
/// A *position* is a pixel of the convolution's result. Pools that keep one pixel of every window
/// are done here: only positions that survive exist, and the input is split into phases (lines and
/// columns modulo the stride), so that neighbouring positions read neighbouring bytes under every
/// tap. Lines follow each other in `pitch` columns; the last columns may belong to no position.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    /// Lines and columns of positions.
    pub height: usize,
    pub width: usize,
    /// Columns from a line of positions to the next.
    pub pitch: usize,
    /// Pixels between neighbouring positions, and the column of the first.
    stride: usize,
    origin: usize,
    /// Width of the kernel, and of the border that it needs.
    kernel: usize,
    border: usize,
    /// Lines of a phase, and phases in each direction.
    lines: usize,
    phases: usize,
}

impl Geometry {
    pub fn of(layer: &Layer) -> Self {
        let (stride, origin) = match layer.pool {
            Pool::LeftTop2 => (2, 0),
            Pool::RightTop2 => (2, 1),
            Pool::LeftTop4 => (4, 0),
            _ => (1, 0),
        };
        let kernel = layer.kernel.size();
        let (height, width) = (layer.input.height / stride, layer.input.width / stride);
        Self {
            height,
            width,
            pitch: width + (origin + kernel - 1) / stride,
            stride,
            origin,
            kernel,
            border: kernel / 2,
            lines: height + (kernel - 1) / stride,
            phases: kernel.min(stride),
        }
    }

    /// Positions from the first to the last, with the columns between lines.
    pub fn positions(&self) -> usize {
        self.height * self.pitch
    }

    /// Packed pixels of one channel.
    pub fn pixels(&self) -> usize {
        self.phases * self.phases * self.lines * self.pitch
    }

    /// For every tap, in the order of the weights, the packed pixel under it at position 0.
    pub fn taps(&self) -> ([usize; TAPS], usize) {
        let mut taps = [0; TAPS];
        for (tap, place) in taps.iter_mut().enumerate().take(self.kernel * self.kernel) {
            let (y, x) = (tap / self.kernel, self.origin + tap % self.kernel);
            let phase = y % self.stride * self.phases + self.phase_index(x % self.stride);
            *place = (phase * self.lines + y / self.stride) * self.pitch + x / self.stride;
        }
        (taps, self.kernel * self.kernel)
    }

    /// With a 1x1 kernel only the origin's phase exists.
    fn phase_index(&self, phase: usize) -> usize {
        if self.kernel == 1 { 0 } else { phase }
    }

    fn phase_column(&self, index: usize) -> usize {
        if self.kernel == 1 { self.origin } else { index }
    }

    /// Packs `N` channels from `first` on, side by side, as pixel - 128.
    ///
    /// `packed` begins with the channels' place; what lies behind it is overwritten too.
    #[inline(always)]
    pub fn pack<const N: usize>(
        &self,
        ram: &[u8],
        layer: &Layer,
        first: usize,
        packed: &mut [[u8; N]],
    ) {
        let layout = RowLayout::of(layer.input.width);
        let last = layer.input.channels - 1;
        let mut planes: [&[u8]; N] = [&[]; N];
        for (channel, plane) in (first..).zip(&mut planes) {
            // Weights of channels that do not exist are 0: their pixels may be any.
            let offset = layout.line_offset(layer.input.height, channel.min(last), 0);
            *plane = ram.get(layer.src_row * ROW_BYTES + offset..).unwrap_or_default();
        }
        let line_bytes = layout.line_rows * ROW_BYTES;
        let pad = [layer.pad_value ^ 0x80; N];
        let mut packed = packed;
        for phase_y in 0..self.phases {
            for phase_x in 0..self.phases {
                for y in 0..self.lines {
                    let y = (y * self.stride + phase_y).wrapping_sub(self.border);
                    let sources = planes.map(|p| p.get(y.wrapping_mul(line_bytes)..));
                    if y >= layer.input.height {
                        packed[..self.pitch].fill(pad);
                    } else if self.stride == 1 {
                        self.pack_whole_line(sources, layer.input.width, pad, packed);
                    } else {
                        let sources = sources.map(|s| {
                            s.and_then(|s| s.get(..layer.input.width)).unwrap_or_default()
                        });
                        let x = self.phase_column(phase_x);
                        self.pack_line(sources, x, pad, &mut packed[..self.pitch]);
                    }
                    packed = packed.get_mut(self.pitch..).unwrap_or_default();
                }
            }
        }
    }

    /// Copies whole vectors; what they write behind the line, the next line overwrites.
    #[inline(always)]
    fn pack_whole_line<const N: usize>(
        &self,
        sources: [Option<&[u8]>; N],
        width: usize,
        pad: [u8; N],
        packed: &mut [[u8; N]],
    ) {
        let inside = packed.get_mut(self.border..).unwrap_or_default();
        let places = inside.as_chunks_mut::<LANES>().0.iter_mut();
        for (index, place) in places.take(width.div_ceil(LANES)).enumerate() {
            for (n, source) in sources.iter().enumerate() {
                let vector = source.and_then(|s| s.as_chunks::<LANES>().0.get(index));
                for (pixel, &value) in place.iter_mut().zip(vector.unwrap_or(&[0; LANES])) {
                    pixel[n] = value ^ 0x80;
                }
            }
        }
        if self.border == 1 {
            packed[0] = pad;
            packed[self.pitch - 1] = pad;
        }
    }

    /// `x` is the column of the line's first pixel, counted from the border's.
    #[inline(always)]
    fn pack_line<const N: usize>(
        &self,
        sources: [&[u8]; N],
        x: usize,
        pad: [u8; N],
        line: &mut [[u8; N]],
    ) {
        // The border is one pixel at most: the first of the line, if x is 0.
        let before = self.border.saturating_sub(x).min(line.len());
        let (border, line) = line.split_at_mut(before);
        border.fill(pad);
        let x = x + before * self.stride - self.border;
        let sources = sources.map(|s| s.get(x..).unwrap_or_default());
        let length = sources.iter().map(|s| s.len()).min().unwrap_or(0);
        let (line, border) = line.split_at_mut(length.div_ceil(self.stride).min(line.len()));
        border.fill(pad);
        if self.stride == 1 {
            let sources = sources.map(|s| &s[..line.len()]);
            for (i, pixel) in line.iter_mut().enumerate() {
                *pixel = array::from_fn(|n| sources[n][i] ^ 0x80);
            }
        } else {
            for (i, pixel) in line.iter_mut().enumerate() {
                *pixel = array::from_fn(|n| sources[n][i * self.stride] ^ 0x80);
            }
        }
    }
}

/// Weights of a block of output channels, four input channels side by side:
/// `[tap][group of input channels][output channel]`.
pub(super) type PackedWeights<W> = [[W; BLOCK]];

/// Packs the weights of the block that begins at output channel `first`.
///
/// With 16-bit weights, `byte` says which half: 0 the low one, 1 the high one.
#[inline(always)]
pub(super) fn pack_weights<S: Simd>(
    job: &Job<'_>,
    first: usize,
    byte: usize,
    packed: &mut PackedWeights<S::Weights>,
) {
    match (job.layer.kernel, job.eight_bit) {
        (Kernel::K1x1, true) => pack_rows::<S, 1, 1>(job, first, byte, packed),
        (Kernel::K1x1, false) => pack_rows::<S, 1, 2>(job, first, byte, packed),
        (Kernel::K3x3, true) => pack_rows::<S, 9, 1>(job, first, byte, packed),
        (Kernel::K3x3, false) => pack_rows::<S, 9, 2>(job, first, byte, packed),
    }
}

/// `AREA` taps of `SIZE` bytes.
#[inline(always)]
fn pack_rows<S: Simd, const AREA: usize, const SIZE: usize>(
    job: &Job<'_>,
    first: usize,
    byte: usize,
    packed: &mut PackedWeights<S::Weights>,
) {
    let channels = job.layer.input.channels;
    let groups = channels.div_ceil(4);
    let mut rows = job.weights.chunks_exact(channels * AREA * SIZE).skip(first);
    // Output channels that do not exist get any weights: what they give is not looked at.
    let mut row = rows.next().unwrap_or_default();
    let rows: [&[[[u8; SIZE]; AREA]]; BLOCK] = array::from_fn(|_| {
        let weights = row.as_chunks().0.as_chunks().0;
        row = rows.next().unwrap_or(row);
        weights
    });

    let rows = rows.map(|row| row.as_chunks::<4>());
    let full = rows.map(|(full, _)| full.get(..channels / 4).unwrap_or_default());
    for group in 0..channels / 4 {
        for tap in 0..AREA {
            packed[tap * groups + group] =
                array::from_fn(|o| S::weights(full[o][group].map(|weights| weights[tap][byte])));
        }
    }
    // Input channels that do not exist must not count.
    if !channels.is_multiple_of(4) {
        for tap in 0..AREA {
            packed[tap * groups + groups - 1] = array::from_fn(|o| {
                S::weights(array::from_fn(|i| rows[o].1.get(i).map_or(0, |w| w[tap][byte])))
            });
        }
    }
}
