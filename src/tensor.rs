//! Shapes and element types.

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
pub fn copy<T: Copy>(from: &[T], to: &mut [T]) {
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
