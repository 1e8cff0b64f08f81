//! CPU kernels: their results, which must be the same everywhere, and what `counts.sh` counts.

use bytemuck::cast_slice;
use maix_kpu::{
    crc::CRC,
    kernels::{
        Clamp, Layout,
        conv2d::{Conv2d, conv2d},
        convolution::Convolution,
        matmul::{MatMul, QuantizedMatMul, fully_connected, matmul, quantized_matmul},
        quantize::Rescale,
        quantized_conv2d::{QuantizedConv2d, quantized_conv2d},
        window::{Pad, Window},
    },
    tensor::elements,
};

/// Elements of the largest input and the largest output.
const IMAGE: usize = 32 * 40 * 40;
/// Weights of the largest kernel, and rows of the largest layer.
const WEIGHTS: usize = 256 * 64;
const ROWS: usize = 64;

/// Operands and results; integers and bytes use the same bits.
#[repr(C, align(16))]
pub struct Memory {
    x: [u32; IMAGE],
    weights: [u32; WEIGHTS],
    bias: [u32; ROWS],
    y: [u32; IMAGE],
}

impl Memory {
    pub const fn new() -> Self {
        Self { x: [0; IMAGE], weights: [0; WEIGHTS], bias: [0; ROWS], y: [0; IMAGE] }
    }

    /// Floats from -1 to 1 everywhere.
    pub fn fill(&mut self) {
        let mut state = 1u32;
        for word in self.x.iter_mut().chain(&mut self.weights).chain(&mut self.bias) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *word = ((state >> 8) as f32 / (1 << 23) as f32 - 1.0).to_bits();
        }
    }
}

#[derive(Clone, Copy)]
enum Sizes {
    Convolution(Convolution),
    Product(MatMul),
    FullyConnected(MatMul),
}

const fn convolution(
    layout: Layout,
    groups: usize,
    [channels, out_channels]: [usize; 2],
    size: usize,
    filter: usize,
    stride: usize,
) -> Sizes {
    let pad = Pad { before: filter as i32 / 2, after: filter as i32 / 2 };
    let window =
        Window { filter: [filter; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] };
    let input = [1, channels, size, size];
    Sizes::Convolution(Convolution { layout, input, groups, out_channels, window })
}

const fn product([rows, inner, columns]: [usize; 3]) -> MatMul {
    MatMul { rows, inner, columns }
}

const CASES: [(&str, Sizes); 15] = {
    use Layout::{Nchw, Nhwc};
    [
        ("convolution 3x3, 16 to 32 channels, 20x20", convolution(Nchw, 1, [16, 32], 20, 3, 1)),
        ("convolution 3x3, 64 to 28 channels, 7x7", convolution(Nchw, 1, [64, 28], 7, 3, 1)),
        ("convolution 1x1, 64 to 64 channels, 10x10", convolution(Nchw, 1, [64, 64], 10, 1, 1)),
        (
            "convolution 3x3 stride 2, 3 to 16 channels, 40x40",
            convolution(Nchw, 1, [3, 16], 40, 3, 2),
        ),
        (
            "convolution 3x3, 16 to 32 channels, 20x20, NHWC",
            convolution(Nhwc, 1, [16, 32], 20, 3, 1),
        ),
        ("depthwise 3x3, 32 channels, 20x20", convolution(Nchw, 32, [32, 32], 20, 3, 1)),
        ("depthwise 3x3, 64 channels, 7x7", convolution(Nchw, 64, [64, 64], 7, 3, 1)),
        ("depthwise 3x3 stride 2, 32 channels, 40x40", convolution(Nchw, 32, [32, 32], 40, 3, 2)),
        ("depthwise 5x5, 32 channels, 20x20", convolution(Nchw, 32, [32, 32], 20, 5, 1)),
        ("depthwise 3x3, 32 channels, 20x20, NHWC", convolution(Nhwc, 32, [32, 32], 20, 3, 1)),
        (
            "depthwise 3x3 stride 2, 32 channels, 40x40, NHWC",
            convolution(Nhwc, 32, [32, 32], 40, 3, 2),
        ),
        ("matrix product 16x64x32", Sizes::Product(product([16, 64, 32]))),
        ("matrix product 1x256x64", Sizes::Product(product([1, 256, 64]))),
        ("matrix product 1x500x10", Sizes::Product(product([1, 500, 10]))),
        ("fully connected 256 to 64", Sizes::FullyConnected(product([64, 256, 1]))),
    ]
};

/// Runs every kernel on floats, then on bytes; `print` gets a CRC-32 of the result and
/// the number of multiply-accumulates, and words of the name.
pub fn run(memory: &mut Memory, mut print: impl FnMut(&[u32], &[&str])) {
    for (kind, bytes) in [("floats", false), ("bytes", true)] {
        if bytes {
            // No more than sums are.
            memory.bias.iter_mut().for_each(|bias| *bias >>= 17);
        }
        // There are no bytes for fully connected layers.
        let has = |sizes: &Sizes| !bytes || !matches!(sizes, Sizes::FullyConnected(_));
        for (name, sizes) in CASES.iter().filter(|(_, sizes)| has(sizes)) {
            if let Some((results, macs)) = counted(memory, sizes, bytes) {
                let size = if bytes { 1 } else { 4 };
                let y = &cast_slice::<u32, u8>(&memory.y)[..results * size];
                print(&[CRC.checksum(y), macs as u32], &[kind, name]);
            }
        }
    }
}

/// Runs one kernel; gives the number of results and of multiply-accumulates.
#[unsafe(no_mangle)]
#[inline(never)]
fn counted(memory: &mut Memory, sizes: &Sizes, bytes: bool) -> Option<(usize, usize)> {
    let (input, weights, rows, results, macs) = match sizes {
        Sizes::Convolution(p) => {
            (elements(&p.input)?, p.weights()?, p.out_channels, elements(&p.output()?)?, p.macs()?)
        }
        Sizes::Product(p) => {
            let [a, b, y] = p.elements()?;
            (a, b, p.columns, y, a * p.columns)
        }
        Sizes::FullyConnected(p) => (p.inner, p.rows * p.inner, p.rows, p.rows, p.rows * p.inner),
    };
    let Memory { x, weights: w, bias, y } = memory;
    let clamp = Clamp::RELU6;
    if !bytes {
        let (x, w) = (&cast_slice(x)[..input], &cast_slice(w)[..weights]);
        let (bias, y) = (&cast_slice(bias)[..rows], &mut bytemuck::cast_slice_mut(y)[..results]);
        match sizes {
            Sizes::Convolution(p) => conv2d(&Conv2d { sizes: *p, clamp }, x, w, bias, y)?,
            Sizes::Product(p) => matmul(p, clamp, x, w, bias, y)?,
            Sizes::FullyConnected(_) => fully_connected(clamp, x, w, bias, y)?,
        }
    } else {
        let (x, w) = (&cast_slice(x)[..input], &cast_slice(w)[..weights]);
        let (bias, y) = (&cast_slice(bias)[..rows], &mut bytemuck::cast_slice_mut(y)[..results]);
        let rescale = Rescale { multiplier: 1500, shift: 20, offset: 100 };
        let (input_offset, filter_offset) = (-128, -77);
        match sizes {
            Sizes::Convolution(p) => {
                let p = QuantizedConv2d { sizes: *p, input_offset, filter_offset, rescale };
                quantized_conv2d(&p, x, w, bias, y)?;
            }
            Sizes::Product(p) | Sizes::FullyConnected(p) => {
                let (a_offset, b_offset) = (filter_offset, input_offset);
                let p = QuantizedMatMul { sizes: *p, a_offset, b_offset, rescale };
                quantized_matmul(&p, x, w, bias, y)?;
            }
        }
    }
    Some((results, macs))
}
