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

/// Copies by words where both are aligned alike. In many firmwares `memcpy` goes byte by byte, so the
/// loop is written in a way that does not become a call of it.
#[inline(never)]
fn copy_bytes(from: &[u8], to: &mut [u8]) {
    let length = from.len().min(to.len());
    let alike = (from.as_ptr().addr() ^ to.as_ptr().addr()).is_multiple_of(size_of::<u32>());
    if !alike || length < 32 {
        return each(from, to);
    }
    let (Some(from), Some(to)) = (from.get(..length), to.get_mut(..length)) else { return };
    let head = from.as_ptr().align_offset(size_of::<u32>()).min(length);
    let ((from_head, from), (to_head, to)) = (from.split_at(head), to.split_at_mut(head));
    each(from_head, to_head);
    let (from_blocks, from_tail) = from.as_chunks::<16>();
    let (to_blocks, to_tail) = to.as_chunks_mut::<16>();
    let from_words = bytemuck::try_cast_slice::<[u8; 16], [u32; 4]>(from_blocks);
    let to_words = bytemuck::try_cast_slice_mut::<[u8; 16], [u32; 4]>(to_blocks);
    if let (Ok(from), Ok(to)) = (from_words, to_words) {
        for (to, &[a, b, c, d]) in to.iter_mut().zip(from) {
            *to = [a, b, c, d];
        }
    }
    each(from_tail, to_tail);
}

fn each(from: &[u8], to: &mut [u8]) {
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
