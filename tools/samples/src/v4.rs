//! kmodel v4 samples.

use crate::kpu::{self, Parameters};
use maix_kpu::{
    kernels::{binary::BinaryOp, reduce::ReduceOp, unary::UnaryOp},
    kpu::{Kernel, Pool, memory::rows},
    model::{
        operands::{images, kpu_range},
        reader::Field,
        v4::{File, operator::*, range::*},
    },
    tensor::{Dtype, ImageShape},
};

const SHAPE: Shape4 = Shape4([1, 4, 4, 4]);
const N: u32 = 64;
const NO_CLAMP: Clamp = Clamp { min: f32::NEG_INFINITY, max: f32::INFINITY };
const RELU6: Clamp = Clamp { min: 0.0, max: 6.0 };
const NO_PAD: Pad = Pad { before: 0, after: 0 };
const SAME: Pad = Pad { before: 1, after: 1 };

/// Collects nodes, and main memory in which nothing is used twice.
#[derive(Default)]
pub struct Builder {
    main: u32,
    constants: Vec<u8>,
    nodes: Vec<(u32, Vec<u8>)>,
}

impl Builder {
    /// A tensor of `n` elements in main memory.
    pub fn tensor(&mut self, dtype: Dtype, n: u32) -> Range {
        let (start, size) = (self.main, n * dtype.size() as u32);
        self.main += size.next_multiple_of(8);
        Range::new(Memory::Main, dtype, start, size)
    }

    /// Constants of the file.
    pub fn constant(&mut self, dtype: Dtype, bytes: &[u8]) -> Range {
        let start = self.constants.len() as u32;
        self.constants.extend(bytes);
        self.constants.resize(self.constants.len().next_multiple_of(8), 0);
        Range::new(Memory::Constants, dtype, start, bytes.len() as u32)
    }

    /// A node whose body is followed by `tail`.
    pub fn node(&mut self, opcode: u32, body: &impl Field, tail: &[u8]) {
        let mut bytes = Vec::new();
        body.write(&mut |piece| bytes.extend(piece));
        bytes.extend(tail);
        self.nodes.push((opcode, bytes));
    }

    /// A KPU convolution; the gaps align the parameters as the chip wants them within the body.
    pub fn kpu_conv(&mut self, parameters: &Parameters, main_output: Range) {
        let mut layer = parameters.layer;
        (layer.bn_addr, layer.act_addr, layer.weight_addr) = (8, 0, 16);
        let head = KpuConvHead { main_output, batches: 1, reserved: 0, words: layer.encode() };
        let mut tail = vec![0; 8];
        let [batch_norm, activation, weights] = &parameters.blocks;
        tail.extend(batch_norm);
        tail.extend(activation);
        tail.extend([0; 16]);
        tail.extend(weights);
        self.node(0x2002, &head, &tail);
    }

    /// The file.
    pub fn finish(self, input: (Range, Shape4), outputs: &[Range]) -> Vec<u8> {
        let nodes: Vec<_> = self.nodes.iter().map(|(op, body)| (*op, &body[..])).collect();
        let mut file = Vec::new();
        File {
            target: 1,
            main_memory: self.main,
            inputs: &[input],
            outputs,
            constants: &self.constants,
            nodes: &nodes,
        }
        .write(&mut |piece| file.extend(piece));
        file
    }
}

/// `n` small floats, as bytes.
fn floats(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| ((i * 7 % 11) as f32 * 0.125 - 0.5).to_le_bytes()).collect()
}

fn window(filter: i32, stride: i32, pad: Pad) -> Window {
    Window {
        pad_h: pad,
        pad_w: pad,
        filter_h: filter,
        filter_w: filter,
        stride_h: stride,
        stride_w: stride,
        dilation_h: 1,
        dilation_w: 1,
    }
}

/// Every operator on floats, all but one output the result of one of them.
pub fn floats_model() -> (Builder, Range, Vec<Range>) {
    let mut b = Builder::default();
    let input = b.tensor(Dtype::F32, N);
    let mut outputs = Vec::new();
    let mut out = |b: &mut Builder, n: u32| {
        let range = b.tensor(Dtype::F32, n);
        outputs.push(range);
        range
    };

    let scale = b.constant(Dtype::F32, &floats(4));
    for op in
        [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Min, BinaryOp::Max]
    {
        let output = out(&mut b, N);
        let body = Binary {
            a: input,
            b: scale,
            output,
            op: op.into(),
            a_shape: SHAPE,
            b_shape: Shape4([1, 4, 1, 1]),
            output_shape: SHAPE,
            clamp: RELU6,
        };
        b.node(0x00, &body, &[]);
    }
    let output = out(&mut b, 2 * N);
    let mut tail = Vec::new();
    for range in [input, input] {
        range.write(&mut |piece| tail.extend(piece));
    }
    [4i32, 4].write(&mut |piece| tail.extend(piece));
    b.node(0x01, &Concat { output, inner_size: 64, outer_size: 1, inputs: 2 }, &tail);

    let output = out(&mut b, N / 4 * 6);
    let body = Conv2d {
        input,
        output,
        input_shape: SHAPE,
        groups: 2,
        out_channels: 6,
        window: window(3, 1, SAME),
        clamp: RELU6,
    };
    b.node(0x02, &body, &floats(6 * 2 * 9 + 6));
    let matrix = b.constant(Dtype::F32, &floats(16 * 5));
    let output = out(&mut b, 20);
    let body =
        MatMul { a: input, b: matrix, output, a_rows: 4, a_cols: 16, b_cols: 5, clamp: NO_CLAMP };
    b.node(0x04, &body, &floats(5));
    let output = out(&mut b, 4 * 6 * 5);
    let pads = Pads { n: NO_PAD, c: NO_PAD, h: SAME, w: Pad { before: 2, after: -1 } };
    let body = PadTensor {
        input,
        output,
        input_shape: SHAPE,
        pads,
        value_dtype: Dtype::F32.into(),
        value: 0.25f32.to_le_bytes(),
    };
    b.node(0x05, &body, &[]);
    for op in [ReduceOp::Mean, ReduceOp::Min, ReduceOp::Max, ReduceOp::Sum] {
        let output = out(&mut b, 4);
        let output_shape = Shape4([1, 4, 1, 1]);
        b.node(
            0x07,
            &Reduce { input, output, op: op.into(), input_shape: SHAPE, output_shape, init: 0.0 },
            &[],
        );
        for opcode in [0x08, 0x1003] {
            let output = out(&mut b, 16);
            let window = window(2, 2, NO_PAD);
            let (init, clamp) = (0.0, NO_CLAMP);
            let body = ReduceWindow {
                input,
                output,
                op: op.into(),
                input_shape: SHAPE,
                window,
                init,
                clamp,
            };
            b.node(opcode, &body, &[]);
        }
    }
    let output = out(&mut b, N);
    b.node(0x09, &MemoryCopy { input, output }, &[]);
    for mode in [ResizeMode::Bilinear, ResizeMode::Nearest] {
        let output = out(&mut b, 4 * 6 * 5);
        let body = ResizeImage {
            input,
            output,
            input_shape: SHAPE,
            out_height: 6,
            out_width: 5,
            mode: mode.into(),
            align_corners: [1, 0, 0, 0],
        };
        b.node(0x0A, &body, &[]);
    }
    let output = out(&mut b, N);
    b.node(0x0B, &Softmax { input, output, inner_size: 16, outer_size: 4, beta: 1.0 }, &[]);
    let output = out(&mut b, N);
    b.node(0x0C, &Transpose { input, output, input_shape: SHAPE, perm: [0, 2, 3, 1] }, &[]);
    let output = out(&mut b, 2 * 4 * 2);
    let body = StridedSlice {
        input,
        output,
        input_shape: SHAPE,
        begin: [0, 1, 3, 0],
        end: [1, 3, -1, 4],
        strides: [1, 1, -1, 2],
        masks: [0; 5],
    };
    b.node(0x0D, &body, &[]);
    for number in 0..10 {
        let output = out(&mut b, N);
        let op = UnaryOp::from_number(number).expect("ten of them");
        b.node(0x0E, &Unary { input, output, op: op.into() }, &[]);
    }
    let output = out(&mut b, 9 * 9 * 2);
    let body = Conv2dTranspose {
        input,
        output,
        input_shape: SHAPE,
        output_shape: Shape4([1, 2, 9, 9]),
        groups: 2,
        window: window(3, 2, NO_PAD),
        clamp: NO_CLAMP,
    };
    b.node(0x13, &body, &floats(2 * 2 * 9 + 2));
    let output = out(&mut b, N);
    // Twice the element, plus one, stored.
    b.node(0x14, &Nnil { input, output }, &[0x03, 0x01, 0x40, 0x05, 0x40, 0xA0]);
    let output = out(&mut b, 16 * 5);
    let body = CpuConv2d {
        input,
        output,
        input_shape: SHAPE,
        out_channels: 5,
        window: window(3, 1, SAME),
        clamp: NO_CLAMP,
    };
    b.node(0x1001, &body, &floats(5 * 9 * 4 + 5));
    let output = out(&mut b, N);
    let body = CpuDepthwise {
        input,
        output,
        input_shape: SHAPE,
        window: window(3, 1, SAME),
        clamp: NO_CLAMP,
    };
    b.node(0x1002, &body, &floats(4 * 9 + 4));
    (b, input, outputs)
}

/// Every operator on floats; input (1, 4, 4, 4).
pub fn floats_file() -> Vec<u8> {
    let (builder, input, outputs) = floats_model();
    builder.finish((input, SHAPE), &outputs)
}

/// Every operator on bytes; input 64 floats, which the first node quantizes.
pub fn bytes() -> Vec<u8> {
    let mut b = Builder::default();
    let input = b.tensor(Dtype::F32, N);
    let x = b.tensor(Dtype::U8, N);
    let mut outputs = Vec::new();
    let mut out = |b: &mut Builder, n: u32| {
        let range = b.tensor(Dtype::U8, n);
        outputs.push(range);
        range
    };
    b.node(
        0x06,
        &Quantize { input, output: x, param: QuantParam { zero_point: 100, scale: 20.0 } },
        &[],
    );

    let weights: Vec<u8> = (0..6 * 2 * 9).map(|i| (i * 31 % 256) as u8).collect();
    let bias = |n: i32| (0..n).flat_map(|i| (i * 100 - 200).to_le_bytes());
    let requantize = Requantize { mul: 13, shift: 12, offset: 90 };
    let output = out(&mut b, 16 * 6);
    let body = QuantizedConv2d {
        input: x,
        output,
        input_shape: SHAPE,
        groups: 2,
        out_channels: 6,
        window: window(3, 1, SAME),
        input_offset: -100,
        filter_offset: -128,
        requantize,
    };
    b.node(0x0F, &body, &bias(6).chain(weights.iter().copied()).collect::<Vec<_>>());
    let matrix = b.constant(Dtype::U8, &weights[..16 * 5]);
    let output = out(&mut b, 20);
    let body = QuantizedMatMul {
        a: x,
        b: matrix,
        output,
        a_rows: 4,
        a_cols: 16,
        b_cols: 5,
        a_offset: -100,
        b_offset: -128,
        requantize,
    };
    b.node(0x10, &body, &bias(5).collect::<Vec<_>>());
    let other = b.constant(Dtype::U8, &weights[..4]);
    for number in 0..6 {
        let output = out(&mut b, N);
        let scale = OperandScale { offset: -100, mul: 3, shift: 1 };
        let body = QuantizedBinary {
            a: x,
            b: other,
            output,
            op: BinaryOp::from_number(number).expect("six of them").into(),
            a_shape: SHAPE,
            b_shape: Shape4([1, 4, 1, 1]),
            output_shape: SHAPE,
            a_scale: scale,
            b_scale: scale,
            output_offset: 100,
            output_mul: 1,
            output_shift: 2,
        };
        b.node(0x11, &body, &[]);
    }
    let table = b.constant(Dtype::U8, &(0..=255).rev().collect::<Vec<u8>>());
    let output = out(&mut b, N);
    b.node(0x12, &TableLookup { input: x, table, output }, &[]);
    let output = out(&mut b, 16 * 5);
    let body = CpuQuantizedConv2d {
        input: x,
        output,
        input_shape: SHAPE,
        out_channels: 5,
        window: window(1, 1, NO_PAD),
        input_offset: 100,
        filter_offset: 128,
        requantize,
    };
    b.node(0x1004, &body, &weights[..20].iter().copied().chain(bias(5)).collect::<Vec<_>>());
    let output = out(&mut b, N);
    let body = CpuQuantizedDepthwise {
        input: x,
        output,
        input_shape: SHAPE,
        window: window(3, 1, SAME),
        input_offset: 100,
        filter_offset: 128,
        requantize,
    };
    b.node(0x1005, &body, &weights[..36].iter().copied().chain(bias(4)).collect::<Vec<_>>());
    b.finish((input, SHAPE), &outputs)
}

/// KPU layers: an image of 3 x 12 x 10 bytes to 5 floats.
pub fn image() -> Vec<u8> {
    let image = ImageShape::new(3, 12, 10);
    let mut b = Builder::default();
    let first = kpu::layer(image, 8, Kernel::K3x3, false, Pool::Max2, (0, 64));
    let second = kpu::layer(first.layer.output, 8, Kernel::K3x3, true, Pool::None, (64, 256));
    let third = kpu::layer(second.layer.output, 5, Kernel::K1x1, false, Pool::LeftTop2, (256, 400));
    let nothing = Range::new(Memory::Main, Dtype::U8, 0, 0);
    b.kpu_conv(&first, nothing);
    b.kpu_conv(&second, nothing);
    let map = third.layer.output;
    let bytes = b.tensor(Dtype::U8, map.elements() as u32);
    b.kpu_conv(&third, bytes);
    let again = kpu_range(600, 1, map);
    let shape = Shape4::from(images(1, map));
    b.node(0x2001, &KpuUpload { input: bytes, output: again, shape }, &[]);
    let values = b.tensor(Dtype::F32, map.elements() as u32);
    let param = QuantParam { zero_point: 10, scale: 4.0 };
    b.node(0x03, &Dequantize { input: bytes, output: values, param }, &[]);
    let output = b.tensor(Dtype::F32, 5);
    let body = Reduce {
        input: values,
        output,
        op: ReduceOp::Mean.into(),
        input_shape: shape,
        output_shape: Shape4([1, 5, 1, 1]),
        init: 0.0,
    };
    b.node(0x07, &body, &[]);
    let size = (rows(image) * 64) as u32;
    let input = Range::new(Memory::Kpu, Dtype::U8, 0, size);
    b.finish((input, Shape4([1, 3, 12, 10])), &[output])
}

/// What a YOLOv3 model of two outputs ends with. Input: 72 values of 0 to 1. Outputs: the same as
/// values of -8 to 8, a grid of 2 x 2 cells with 18 channels; and the largest of its cells.
pub fn grids() -> Vec<u8> {
    let mut b = Builder::default();
    let shape = Shape4([1, 18, 2, 2]);
    let [input, scaled, fine] = [(); 3].map(|()| b.tensor(Dtype::F32, 72));
    let coarse = b.tensor(Dtype::F32, 18);
    for (a, number, op, output) in
        [(input, 16f32, BinaryOp::Mul, scaled), (scaled, -8f32, BinaryOp::Add, fine)]
    {
        let number = b.constant(Dtype::F32, &number.to_le_bytes());
        let body = Binary {
            a,
            b: number,
            output,
            op: op.into(),
            a_shape: shape,
            b_shape: Shape4([1, 1, 1, 1]),
            output_shape: shape,
            clamp: NO_CLAMP,
        };
        b.node(0x00, &body, &[]);
    }
    let body = ReduceWindow {
        input: fine,
        output: coarse,
        op: ReduceOp::Max.into(),
        input_shape: shape,
        window: window(2, 2, NO_PAD),
        init: f32::NEG_INFINITY,
        clamp: NO_CLAMP,
    };
    b.node(0x08, &body, &[]);
    b.finish((input, Shape4([1, 1, 9, 8])), &[fine, coarse])
}
