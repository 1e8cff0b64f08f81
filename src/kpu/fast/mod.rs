//! KPU layers at the CPU's full speed, with the same bits as the plain version.
//!
//! A layer goes `KPU RAM -> pack -> sums of products -> output -> pool -> KPU RAM`, a block of
//! output channels at a time. Pixels are packed as pixel - 128, so that the products are of signed
//! pixels and unsigned weights. All code here is compiled once for every [`Level`]; only the sums
//! of products are written by hand for each.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod output;
mod pack;
mod portable;

use core::array;

use crate::{
    error::{Error, Kind, Result, What},
    kpu::{
        Activation, BatchNorm, Job, Pool, Rounding,
        memory::{self, KPU_RAM_BYTES},
    },
    level::{Instructions, Level},
};
use output::{Channel, Extremum, Narrow, Sums};
use pack::{Geometry, PackedWeights, TAPS, pack_weights};
use portable::Portable;

/// Bytes of scratch memory that [`run`] needs for the largest layer.
pub(super) const SCRATCH_BYTES: usize = 6 * KPU_RAM_BYTES;

/// Output channels that are computed together.
const BLOCK: usize = 8;
/// Positions of one vector.
const LANES: usize = 16;
/// Vectors of a tile: what one call of [`Simd::dot`] computes at most.
const TILE: usize = 3;
/// Positions that go through the output stage together.
const STRIP: usize = 4 * TILE * LANES;

/// Sums of products of packed pixels and weights.
trait Simd: Copy {
    /// Weights of four input channels, as [`dot`](Self::dot) reads them.
    type Weights: bytemuck::Pod;

    /// The weights of four input channels.
    fn weights(bytes: [u8; 4]) -> Self::Weights;

    /// For `vectors * LANES` positions from `first` on and a block of output channels, the sums
    /// over all taps and input channels; they are written to `sums` from `column` on.
    fn dot(
        self,
        pixels: &Pixels<'_>,
        weights: &PackedWeights<Self::Weights>,
        first: usize,
        sums: &mut [[i32; STRIP]; BLOCK],
        column: usize,
        vectors: usize,
    );

    /// For the positions from `first` on, the sums over one channel's taps of pixels times weights,
    /// and of pixels times factors. Both have the same length, a multiple of [`LANES`].
    fn depthwise(
        self,
        pixels: &[u8],
        quads: &[Quad],
        first: usize,
        products: &mut [i32],
        sums: &mut [i32],
    );

    /// The differences of what [`depthwise`](Self::depthwise) gives: products minus sums.
    #[inline(always)]
    fn differences(self, pixels: &[u8], quads: &[Quad], first: usize, differences: &mut [i32]) {
        let mut sums = [0; STRIP];
        for (strip, differences) in differences.chunks_mut(STRIP).enumerate() {
            let sums = &mut sums[..differences.len()];
            self.depthwise(pixels, quads, first + strip * STRIP, differences, sums);
            differences.iter_mut().zip(sums).for_each(|(product, sum)| *product -= *sum);
        }
    }
}

/// Packed pixels, four channels side by side.
struct Pixels<'p> {
    bytes: &'p [u8],
    /// The byte under each tap at position 0.
    taps: &'p [usize],
    /// Groups of four channels, and bytes from one to the next.
    groups: usize,
    group_bytes: usize,
}

impl Pixels<'_> {
    /// For every tap and group, `N` bytes of the positions from `position` on.
    #[inline(always)]
    fn at<const N: usize>(&self, position: usize) -> impl Iterator<Item = &[u8; N]> {
        self.taps.iter().flat_map(move |tap| {
            let begin = tap + 4 * position;
            (0..self.groups)
                .filter_map(move |g| self.bytes.get(begin + g * self.group_bytes..)?.first_chunk())
        })
    }
}

/// Four taps of a depthwise kernel that lie side by side.
#[derive(Clone, Copy, Default)]
struct Quad {
    /// The packed pixel under the first of them at position 0.
    pixel: usize,
    weights: [u8; 4],
    /// What the pixels count in their own sum; 0 where there is no tap.
    factors: [u8; 4],
}

/// Runs a checked job over KPU RAM.
pub(super) fn run(
    ram: &mut [u8],
    scratch: &mut [u8],
    job: &Job<'_>,
    activation: &Activation,
    rounding: Rounding,
    level: Level,
) -> Result<()> {
    let run = Run {
        job,
        geometry: Geometry::of(&job.layer),
        activation,
        narrow: Narrow::new(activation, rounding),
        rounding,
    };
    match level.instructions() {
        Instructions::Portable => run.layer(Portable, ram, scratch),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2::layer(&run, ram, scratch),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512::layer(&run, ram, scratch),
    }
}

/// A job and what is derived from it once.
struct Run<'r> {
    job: &'r Job<'r>,
    geometry: Geometry,
    activation: &'r Activation,
    narrow: Option<Narrow>,
    rounding: Rounding,
}

impl Run<'_> {
    #[inline(always)]
    fn layer<S: Simd>(&self, simd: S, ram: &mut [u8], scratch: &mut [u8]) -> Result<()> {
        let mut scratch = Scratch(scratch);
        if self.job.layer.depthwise {
            self.depthwise_layer(simd, ram, &mut scratch)
        } else {
            self.normal_layer(simd, ram, &mut scratch)
        }
    }

    #[inline(always)]
    fn normal_layer<S: Simd>(
        &self,
        simd: S,
        ram: &mut [u8],
        scratch: &mut Scratch<'_>,
    ) -> Result<()> {
        let (job, layer, geometry) = (self.job, &self.job.layer, &self.geometry);
        let groups = layer.input.channels.div_ceil(4);
        let group_bytes = 4 * geometry.pixels();
        let bytes = scratch.take(groups * group_bytes + 4 * STRIP)?;
        for group in 0..groups {
            let packed = bytes.get_mut(group * group_bytes..).unwrap_or_default();
            geometry.pack(ram, layer, 4 * group, packed.as_chunks_mut::<4>().0);
        }
        let (taps, area) = geometry.taps();
        let taps = taps.map(|pixel| 4 * pixel);
        let taps = taps.get(..area).unwrap_or(&taps);
        let pixels = Pixels { bytes, taps, groups, group_bytes };

        let positions = geometry.positions();
        let padded = positions.next_multiple_of(LANES);
        let pixel_sums: &mut [i32] = bytemuck::cast_slice_mut(scratch.take(4 * padded)?);
        let plane_bytes = padded + LANES;
        let planes = scratch.take(BLOCK * plane_bytes)?;
        let halves = if job.eight_bit { 1 } else { 2 };
        let weights = scratch.take(halves * area * groups * size_of::<[S::Weights; BLOCK]>())?;
        let weights: &mut PackedWeights<S::Weights> = bytemuck::cast_slice_mut(weights);

        // The largest of four bytes is the byte of the largest accumulator, or of the smallest: the
        // activation of the others need not be computed. Where there is no room, all are.
        let pools_first = layer.pool == Pool::Max2;
        let room = pools_first.then(|| scratch.take(4 * BLOCK * plane_bytes));
        let accumulators: &mut [i32] =
            room.and_then(Result::ok).map(bytemuck::cast_slice_mut).unwrap_or_default();

        let mut products = [[0; STRIP]; BLOCK];
        let mut high_products = [[0; STRIP]; BLOCK];
        let mut terms = [0; STRIP];

        if layer.arg_x == 0 {
            pixel_sums.fill(0);
        } else {
            let ones = weights.get_mut(..area * groups).unwrap_or_default();
            pack_ones::<S>(layer.input.channels, groups, ones);
            let all = 128 * layer.taps() as i32;
            for (strip, sums) in pixel_sums.chunks_mut(STRIP).enumerate() {
                dot_strip(simd, &pixels, ones, strip * STRIP, sums.len(), &mut products);
                sums.iter_mut().zip(&products[0]).for_each(|(sum, x)| *sum = x + all);
            }
        }

        let norms = job.batch_norm.as_chunks().0;
        let row_bytes = job.weights.len() / layer.output.channels;
        let mut rows = job.weights.chunks_exact(row_bytes);
        for (block, norms) in norms.chunks(BLOCK).enumerate() {
            let (low, high) = weights.split_at_mut(area * groups);
            for (byte, packed) in [&mut *low, &mut *high].into_iter().take(halves).enumerate() {
                pack_weights::<S>(job, block * BLOCK, byte, packed);
            }
            let channels: [Option<Channel>; BLOCK] = array::from_fn(|o| {
                Some(Channel::new(job, rows.next()?, BatchNorm::decode(*norms.get(o)?)))
            });
            let extrema = channels.each_ref().map(|channel| {
                let channel = channel.as_ref().filter(|_| !accumulators.is_empty())?;
                channel.extremum(self.narrow.as_ref())
            });
            for (strip, pixel_sums) in pixel_sums.chunks(STRIP).enumerate() {
                let (first, count) = (strip * STRIP, pixel_sums.len());
                dot_strip(simd, &pixels, low, first, count, &mut products);
                if halves == 2 {
                    dot_strip(simd, &pixels, high, first, count, &mut high_products);
                }
                output::terms(layer, pixel_sums, &mut terms);
                let results = products.iter().zip(&high_products).zip(channels.iter().flatten());
                for (o, (((products, high), channel), plane)) in
                    results.zip(planes.chunks_exact_mut(plane_bytes)).enumerate()
                {
                    let sums = Sums {
                        products,
                        high_products: (halves == 2).then_some(high),
                        pixels: pixel_sums,
                        terms: &terms,
                    };
                    if extrema[o].is_some() {
                        let begin = o * plane_bytes + first;
                        let strip = accumulators.get_mut(begin..begin + count);
                        channel.accumulate(sums, strip.unwrap_or_default());
                    } else {
                        let bytes = plane.get_mut(first..first + count).unwrap_or_default();
                        self.output(channel, sums, bytes);
                    }
                }
            }
            for (o, plane) in planes.chunks_exact(plane_bytes).take(norms.len()).enumerate() {
                match (extrema[o], &channels[o], &self.narrow) {
                    (Some(extremum), Some(channel), Some(narrow)) => {
                        let plane = accumulators.get(o * plane_bytes..).unwrap_or_default();
                        let finish = |acc: &[i32], bytes: &mut [u8]| {
                            channel.finish(acc, narrow, bytes);
                        };
                        self.write_pooled(ram, block * BLOCK + o, plane, extremum, finish)?;
                    }
                    _ => self.write(ram, block * BLOCK + o, plane)?,
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn depthwise_layer(
        &self,
        simd: impl Simd,
        ram: &mut [u8],
        scratch: &mut Scratch<'_>,
    ) -> Result<()> {
        let (job, layer, geometry) = (self.job, &self.job.layer, &self.geometry);
        let channels = layer.input.channels;
        // The whole input is read before anything is written: the output may lie over it.
        let pixels = geometry.pixels();
        let bytes = scratch.take(channels * pixels + 2 * STRIP)?;
        for channel in 0..channels {
            let packed = bytes.get_mut(channel * pixels..).unwrap_or_default();
            geometry.pack(ram, layer, channel, packed.as_chunks_mut::<1>().0);
        }
        let padded = geometry.positions().next_multiple_of(LANES);
        let plane = scratch.take(padded + LANES)?;

        let (taps, area) = geometry.taps();
        let taps = taps.get(..area).unwrap_or(&taps);
        let (mut products, mut high_products) = ([0; STRIP], [0; STRIP]);
        let (mut pixel_sums, mut terms) = ([0; STRIP], [0; STRIP]);
        let zero = zero_point(job);
        let norms = job.batch_norm.as_chunks().0;
        let rows = job.weights.chunks_exact(job.weights.len() / channels);
        for (channel, (norm, row)) in norms.iter().zip(rows).enumerate() {
            let output = Channel::new(job, row, BatchNorm::decode(*norm));
            let pixels = bytes.get(channel * pixels..).unwrap_or_default();
            let zero = zero.filter(|_| !output.wants_pixels(self.narrow.as_ref()));
            let (low, high, count) = quads(job.eight_bit, row, taps, zero.unwrap_or(1));
            let low = low.get(..count).unwrap_or(&low);
            let high = high.get(..count).unwrap_or(&high);
            for (strip, bytes) in plane[..padded].chunks_mut(STRIP).enumerate() {
                let (first, count) = (strip * STRIP, bytes.len());
                let products = &mut products[..count];
                let pixel_sums = &mut pixel_sums[..count];
                if let Some(zero) = zero {
                    simd.differences(pixels, low, first, products);
                    terms.fill(-128 * i32::from(zero) * area as i32);
                } else {
                    if !job.eight_bit {
                        let high_products = &mut high_products[..count];
                        simd.depthwise(pixels, high, first, high_products, pixel_sums);
                    }
                    simd.depthwise(pixels, low, first, products, pixel_sums);
                    pixel_sums.iter_mut().for_each(|sum| *sum += 128 * area as i32);
                    output::terms(layer, pixel_sums, &mut terms);
                }
                let sums = Sums {
                    products,
                    high_products: (!job.eight_bit).then_some(&high_products),
                    pixels: pixel_sums,
                    terms: &terms,
                };
                self.output(&output, sums, bytes);
            }
            self.write(ram, channel, plane)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn output(&self, channel: &Channel, sums: Sums<'_>, bytes: &mut [u8]) {
        let narrow = self.narrow.as_ref();
        channel.apply(sums, self.activation, narrow, self.rounding, bytes);
    }

    /// Pools a plane of accumulators two by two, and writes what `finish` makes of them to KPU RAM.
    #[inline(always)]
    fn write_pooled(
        &self,
        ram: &mut [u8],
        channel: usize,
        plane: &[i32],
        extremum: Extremum,
        finish: impl Fn(&[i32], &mut [u8]),
    ) -> Result<()> {
        let (layer, pitch) = (&self.job.layer, self.geometry.pitch);
        let (mut pooled, mut bytes) = ([0; STRIP], [0; STRIP]);
        let lines = memory::channel_lines_mut(ram, layer.dst_row, layer.output, channel)?;
        for (y, line) in lines.enumerate() {
            let upper = plane.get(2 * y * pitch..).unwrap_or_default();
            let lower = upper.get(pitch..).unwrap_or_default();
            let mut pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
            for line in line[..layer.output.width].chunks_mut(STRIP) {
                let windows = pooled.iter_mut().zip(pairs.by_ref().take(line.len()));
                match extremum {
                    Extremum::Largest => {
                        windows.for_each(|(to, (a, b))| *to = a[0].max(a[1]).max(b[0].max(b[1])))
                    }
                    Extremum::Smallest => {
                        windows.for_each(|(to, (a, b))| *to = a[0].min(a[1]).min(b[0].min(b[1])))
                    }
                }
                let whole = line.len().next_multiple_of(LANES);
                finish(&pooled[..whole], &mut bytes[..whole]);
                line.copy_from_slice(&bytes[..line.len()]);
            }
        }
        Ok(())
    }

    /// Pools a plane and writes it to KPU RAM.
    #[inline(always)]
    fn write(&self, ram: &mut [u8], channel: usize, plane: &[u8]) -> Result<()> {
        let layer = &self.job.layer;
        let Geometry { height, width, pitch, .. } = self.geometry;
        let size = (height, width);
        let pixel = |y, x| plane.get(y * pitch + x).copied().unwrap_or(0);
        let lines = memory::channel_lines_mut(ram, layer.dst_row, layer.output, channel)?;
        for (y, line) in lines.enumerate() {
            let source = plane.get(y * layer.pool.stride() * pitch..).unwrap_or_default();
            match layer.pool {
                Pool::None | Pool::LeftTop2 | Pool::RightTop2 | Pool::LeftTop4 => {
                    let source = plane.get(y * pitch..).unwrap_or_default();
                    copy_line(source, width, line);
                }
                Pool::Max2 => {
                    let lower = source.get(pitch..).unwrap_or_default();
                    let pairs = source.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                    for (to, (a, b)) in line[..layer.output.width].iter_mut().zip(pairs) {
                        *to = a[0].max(a[1]).max(b[0].max(b[1]));
                    }
                }
                pool => {
                    for (x, to) in line[..layer.output.width].iter_mut().enumerate() {
                        *to = pool.apply(size, (y, x), pixel);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Copies `width` bytes to a line of KPU RAM, in vectors; the line's other bytes stay.
#[inline(always)]
fn copy_line(source: &[u8], width: usize, line: &mut [u8]) {
    let mut vectors = source.as_chunks::<LANES>().0.iter().zip(line.as_chunks_mut::<LANES>().0);
    for (from, to) in vectors.by_ref().take(width / LANES) {
        *to = *from;
    }
    let rest = width % LANES;
    if rest > 0
        && let Some((from, to)) = vectors.next()
    {
        let inside = (1 << (8 * rest)) - 1;
        let kept = u128::from_le_bytes(*to) & !inside;
        *to = (u128::from_le_bytes(*from) & inside | kept).to_le_bytes();
    }
}

/// The sums of a strip: tile after tile.
#[inline(always)]
fn dot_strip<S: Simd>(
    simd: S,
    pixels: &Pixels<'_>,
    weights: &PackedWeights<S::Weights>,
    first: usize,
    count: usize,
    sums: &mut [[i32; STRIP]; BLOCK],
) {
    for column in (0..count).step_by(TILE * LANES) {
        let vectors = (count - column).div_ceil(LANES).min(TILE);
        simd.dot(pixels, weights, first + column, sums, column, vectors);
    }
}

/// Weights of 1 for every channel that exists, in the block's first output channel.
fn pack_ones<S: Simd>(channels: usize, groups: usize, packed: &mut PackedWeights<S::Weights>) {
    packed.fill([S::weights([0; 4]); BLOCK]);
    for (index, block) in packed.iter_mut().enumerate() {
        let present = channels - 4 * (index % groups);
        block[0] = S::weights(array::from_fn(|i| u8::from(i < present)));
    }
}

/// What is subtracted from every weight, where `arg_x` says nothing else and weights have 8 bits.
fn zero_point(job: &Job<'_>) -> Option<u8> {
    let (arg_x, shr_x) = (job.layer.arg_x, job.layer.shr_x);
    let whole = arg_x & !(-1 << shr_x) == 0;
    u8::try_from(-(arg_x >> shr_x)).ok().filter(|_| whole && job.eight_bit)
}

/// The taps of a depthwise kernel, side by side where their pixels are: for the low and the high
/// bytes of the weights, and how many quads there are.
fn quads(
    eight_bit: bool,
    row: &[u8],
    taps: &[usize],
    factor: u8,
) -> ([Quad; TAPS], [Quad; TAPS], usize) {
    let (mut low, mut high) = ([Quad::default(); TAPS], [Quad::default(); TAPS]);
    let size = if eight_bit { 1 } else { 2 };
    let mut count = 0;
    for (weight, &pixel) in row.chunks_exact(size).zip(taps) {
        let beside = |quad: &Quad| (quad.pixel..quad.pixel + 4).contains(&pixel);
        let found = low.iter().take(count).position(beside);
        let index = found.unwrap_or(count);
        if found.is_none() {
            (low[index].pixel, high[index].pixel) = (pixel, pixel);
            count += 1;
        }
        let lane = pixel - low[index].pixel;
        for (quad, byte) in [(&mut low, 0), (&mut high, 1)] {
            quad[index].weights[lane] = weight.get(byte).copied().unwrap_or(0);
            quad[index].factors[lane] = factor;
        }
    }
    (low, high, count)
}

/// Scratch memory that is handed out piece by piece.
struct Scratch<'s>(&'s mut [u8]);

impl<'s> Scratch<'s> {
    /// Bytes that begin at a multiple of 64.
    fn take(&mut self, bytes: usize) -> Result<&'s mut [u8]> {
        let rest = core::mem::take(&mut self.0);
        let lead = rest.as_ptr().align_offset(64);
        let size = rest.len();
        let pieces = rest
            .split_at_mut_checked(lead)
            .and_then(|(_, rest)| rest.split_at_mut_checked(bytes.next_multiple_of(64)));
        let Some((piece, rest)) = pieces else {
            let sizes = [(lead + bytes) as u64, size as u64];
            return Err(Error::about(Kind::NoMemory, What::SimulatorsScratch, sizes));
        };
        self.0 = rest;
        Ok(&mut piece[..bytes])
    }
}
