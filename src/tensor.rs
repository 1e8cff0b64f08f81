//! Shapes and element types.

use bytemuck::Pod;

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float, little-endian.
    F32,
    /// Unsigned byte.
    U8,
}

impl Dtype {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::U8 => 1,
        }
    }

    /// The number that kmodel v4 stores.
    pub const fn code(self) -> u64 {
        match self {
            Dtype::F32 => 0,
            Dtype::U8 => 1,
        }
    }

    /// The name as numpy has it.
    pub const fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "float32",
            Dtype::U8 => "uint8",
        }
    }
}

/// Four dimensions, outermost first: N, C, H, W.
pub type Shape = [usize; 4];

/// Elements of a shape, or `None` if they do not fit in `usize`.
#[inline(never)]
pub fn elements(shape: &Shape) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// Copies elements, as many as both slices have: `copy_from_slice` without a panic.
pub fn copy<T: Pod>(from: &[T], to: &mut [T]) {
    copy_bytes(bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
}

/// Copies by words where both are aligned alike; `memcpy` of small C libraries goes byte by byte.
#[inline(never)]
fn copy_bytes(from: &[u8], to: &mut [u8]) {
    let length = from.len().min(to.len());
    let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) else { return };
    if (from.as_ptr().addr() ^ to.as_ptr().addr()) % size_of::<u32>() != 0 {
        return each(from, to);
    }
    let (head, words, tail) = bytemuck::pod_align_to::<u8, u32>(from);
    let (to_head, to_words, to_tail) = bytemuck::pod_align_to_mut::<u8, u32>(to);
    let ((fours, rest), (to_fours, to_rest)) = (words.as_chunks::<4>(), to_words.as_chunks_mut());
    each(head, to_head);
    each(fours, to_fours);
    each(rest, to_rest);
    each(tail, to_tail);
}

fn each<T: Copy>(from: &[T], to: &mut [T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
}

/// Size of a planar image: `channels` planes of `height` lines of `width` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Number of planes.
    pub channels: usize,
    /// Lines of a plane.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
}

impl ImageShape {
    /// An image of `channels` planes of `height` x `width` pixels.
    pub const fn new(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width }
    }

    /// Pixels of one plane.
    pub const fn plane(self) -> usize {
        self.height * self.width
    }

    /// Elements of all planes.
    pub const fn elements(self) -> usize {
        self.channels * self.plane()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_wherever_the_bytes_lie() {
        let from: Vec<u8> = (0..90).collect();
        for (at, to_at, length) in places() {
            let mut to = [255; 90];
            copy(&from[at..at + length], &mut to[to_at..]);
            assert_eq!(to[to_at..to_at + length], from[at..at + length]);
            assert!(to[..to_at].iter().chain(&to[to_at + length..]).all(|&byte| byte == 255));
        }
    }

    fn places() -> impl Iterator<Item = (usize, usize, usize)> {
        (0..8).flat_map(|at| (0..8).flat_map(move |to| (0..70).map(move |n| (at, to, n))))
    }
}
