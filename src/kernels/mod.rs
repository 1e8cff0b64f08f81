//! The operators that the CPU computes, as pure functions over slices and numbers.
//!
//! Shapes are `[N, C, H, W]`. A function that takes a struct of options has its sizes from there
//! and answers `None`, without a panic, if the options contradict themselves or a slice has
//! another length; a model loader asks the options' own functions first and so never sees it.
//!
//! | operator (kmodel v4 opcode; v3 type) | file |
//! |---|---|
//! | conv2d (0x02, 0x1001), depthwise (0x1002) | [`conv2d`] over [`convolution`] |
//! | quantized conv2d (0x0F, 0x1004), quantized depthwise (0x1005) | [`quantized_conv2d`] over [`convolution`] |
//! | conv2d transpose (0x13) | [`conv2d_transpose`] |
//! | matmul (0x04), quantized matmul (0x10), fully connected (v3 18) | [`matmul`] |
//! | binary (0x00), add (v3 1) | [`binary`] |
//! | quantized binary (0x11), quantized add (v3 2) | [`quantized_binary`] |
//! | unary (0x0E), logistic (v3 25) | [`unary`] |
//! | nnil unary (0x14) | [`nnil`] |
//! | quantize (0x06; v3 11), dequantize (0x03; v3 12), channelwise dequantize (v3 24) | [`quantize`] |
//! | table lookup (0x12), requantize (v3 13) | [`quantize`] |
//! | reduce (0x07), global average pool (v3 5) | [`reduce`] |
//! | reduce window (0x08, 0x1003), max pool (v3 8), average pool (v3 9) | [`reduce_window`] |
//! | softmax (0x0B; v3 15), L2 normalize (v3 14) | [`normalize`] |
//! | resize image (0x0A), resize nearest (v3 22, 23) | [`resize`] |
//! | pad (0x05) | [`pad`] |
//! | transpose (0x0C), flatten (v3 20), strided slice (0x0D) | [`gather`] |
//! | concat (0x01; v3 16, 17), memory copy (0x09) | [`copy`] |
//! | remove padding (v3 10242) | [`copy`] |
//! | add padding (v3 10241), upload (v3 10243; 0x2001), KPU conv2d | [`kpu`](crate::kpu) |
//!
//! Where speed matters, a plain function in the words of the definition stands beside a fast one,
//! and tests compare their bits. `blocked` holds the loop in registers that all products share,
//! `pack` feeds it from images, `depthwise` is for single planes; these walks are the same code for
//! floats and bytes, which are told apart in `numbers`: bytes are multiplied as floats, too. `simd` has
//! the vectors of the PC; on the chip the same code runs with vectors of one float.

pub mod binary;
mod blocked;
pub mod conv2d;
pub mod conv2d_transpose;
pub mod convolution;
pub mod copy;
mod depthwise;
pub mod gather;
pub mod matmul;
pub mod nnil;
pub mod normalize;
mod numbers;
mod pack;
pub mod pad;
pub mod quantize;
pub mod quantized_binary;
pub mod quantized_conv2d;
pub mod reduce;
pub mod reduce_window;
pub mod resize;
mod simd;
mod strided;
pub mod unary;
pub mod window;

/// The range that a float result is limited to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Smallest result.
    pub min: f32,
    /// Largest result.
    pub max: f32,
}

impl Clamp {
    /// No limit.
    pub const NONE: Self = Self { min: f32::NEG_INFINITY, max: f32::INFINITY };
    /// Nothing below zero.
    pub const RELU: Self = Self { min: 0.0, max: f32::INFINITY };
    /// Nothing below zero or above six.
    pub const RELU6: Self = Self { min: 0.0, max: 6.0 };

    /// `x`, limited; NaN and `-0.0` stay.
    #[inline(always)]
    pub fn apply(self, x: f32) -> f32 {
        let x = if x < self.min { rare(self.min) } else { x };
        if self.max < x { rare(self.max) } else { x }
    }

    /// Limits all of `y`.
    #[inline(never)]
    pub(crate) fn limit(self, y: &mut [f32]) {
        y.iter_mut().for_each(|y| *y = self.apply(*y));
    }
}

/// `limit`, such that the chip goes around it by a branch, which takes half the instructions of the
/// selection that the compiler prefers.
#[inline(always)]
fn rare(limit: f32) -> f32 {
    if cfg!(target_os = "none") { core::hint::black_box(limit) } else { limit }
}

/// In which order a tensor's elements lie in memory. Shapes are `[N, C, H, W]` for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Channel by channel: all K210 operators.
    Nchw,
    /// The channels of a pixel together: the opcodes 0x1001 to 0x1005.
    Nhwc,
}

impl Layout {
    /// Distances in memory, in elements, between neighbours along `[C, H, W]`.
    pub(crate) const fn steps(self, shape: &crate::tensor::Shape) -> [usize; 3] {
        let [_, channels, height, width] = *shape;
        match self {
            Layout::Nchw => [height.wrapping_mul(width), width, 1],
            Layout::Nhwc => [1, width.wrapping_mul(channels), channels],
        }
    }
}

/// The number of a line among those of a tensor with dimensions `[N, C, H]`, where an index that a
/// dimension does not have counts as 0.
pub(crate) fn broadcast_row(at: [usize; 3], dims: &[usize; 3]) -> usize {
    at.iter().zip(dims).fold(0, |row, (&i, &d)| row * d + if i < d { i } else { 0 })
}
