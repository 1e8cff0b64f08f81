//! kmodel v3 samples.

use crate::kpu::{self, Parameters};
use maix_kpu::{
    kpu::{
        Kernel, Pool as KpuPool,
        arithmetic::{self as kpu_arithmetic, BatchNorm, SEGMENTS, Segment},
    },
    model::{
        node::NodeHeader,
        reader::Field,
        v3::{
            Header, OutputRange,
            layer::{self, *},
        },
    },
    tensor::ImageShape,
};

/// Collects layers and hands out main memory.
#[derive(Default)]
pub struct Builder {
    main: u32,
    layers: Vec<(u32, Layer)>,
}

enum Layer {
    Plain(Vec<u8>),
    Conv { flags: u32, main_output: u32, parameters: Parameters },
}

impl Builder {
    /// `n` bytes of main memory.
    pub fn memory(&mut self, n: u32) -> u32 {
        let address = self.main;
        self.main += n.next_multiple_of(8);
        address
    }

    /// A layer whose body is followed by `tail`.
    pub fn layer(&mut self, kind: u32, body: &impl Field, tail: &[u8]) {
        let mut bytes = vec![0; 4];
        body.write(&mut |piece| bytes.extend(piece));
        bytes.extend(tail);
        self.layers.push((kind, Layer::Plain(bytes)));
    }

    /// A KPU convolution, to main memory too if there is an address.
    pub fn conv(&mut self, parameters: Parameters, main_output: Option<u32>) {
        let flags = u32::from(main_output.is_some());
        let main_output = main_output.unwrap_or(0);
        self.layers.push((10240, Layer::Conv { flags, main_output, parameters }));
    }

    /// The file.
    pub fn finish(self, outputs: &[(u32, u32)]) -> Vec<u8> {
        let mut file = Vec::new();
        let header = Header {
            version: 3,
            flags: 1,
            arch: 0,
            layers: self.layers.len() as u32,
            lowest_row: 0,
            main_memory: self.main,
            outputs: outputs.len() as u32,
        };
        header.write(&mut |piece| file.extend(piece));
        for &(address, size) in outputs {
            OutputRange { address, size }.write(&mut |piece| file.extend(piece));
        }
        let first = file.len() + self.layers.len() * 8;
        let mut bodies = Vec::new();
        for (opcode, layer) in &self.layers {
            let begin = bodies.len();
            match layer {
                Layer::Plain(body) => bodies.extend(body),
                Layer::Conv { flags, main_output, parameters } => {
                    conv_body(first + begin, &mut bodies, *flags, *main_output, parameters);
                }
            }
            let end = (first + bodies.len()).next_multiple_of(8);
            bodies.resize(end - first, 0);
            let body_size = (bodies.len() - begin) as u32;
            NodeHeader { opcode: *opcode, body_size }.write(&mut |piece| file.extend(piece));
        }
        file.extend(bodies);
        file
    }
}

/// Appends a convolution's body, which begins at `offset` of the file.
fn conv_body(
    offset: usize,
    bodies: &mut Vec<u8>,
    flags: u32,
    main_output: u32,
    parameters: &Parameters,
) {
    let begin = bodies.len();
    let words: Vec<u8> =
        parameters.layer.encode().iter().flat_map(|word| word.to_le_bytes()).collect();
    let [batch_norm, activation, weights] = &parameters.blocks;
    let mut blocks = vec![0; 24];
    let mut place = |align: usize, block: &[u8]| {
        let at = (offset + blocks.len()).next_multiple_of(align);
        blocks.resize(at - offset, 0);
        blocks.extend(block);
        at as u32
    };
    let head = ConvHead {
        main_output,
        layer_offset: place(8, &words),
        weights_offset: place(128, weights),
        bn_offset: place(128, batch_norm),
        act_offset: place(256, activation),
    };
    bodies.extend(blocks);
    let mut fields = Vec::new();
    flags.write(&mut |piece| fields.extend(piece));
    head.write(&mut |piece| fields.extend(piece));
    bodies[begin..begin + fields.len()].copy_from_slice(&fields);
}

fn floats(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| ((i * 7 % 11) as f32 * 0.125 - 0.5).to_le_bytes()).collect()
}

/// An image of 2 x 8 x 8 bytes through KPU layers and every operator on images and bytes.
pub fn image() -> Vec<u8> {
    let mut b = Builder::default();
    let size = ImageSize { width: 4, height: 4, channels: 4 };
    let first =
        kpu::layer(ImageShape::new(2, 8, 8), 4, Kernel::K3x3, false, KpuPool::Max2, (0, 64));
    let bytes = b.memory(64);
    b.conv(first, Some(bytes));
    let param = QuantParam { scale: 0.05, bias: -3.0 };
    let values = b.memory(256);
    b.layer(12, &Quantization { input: bytes, output: values, count: 64, param }, &[]);
    let scale = OperandScale { offset: -60, mul: 700, shift: 8 };
    let sum = b.memory(64);
    let output_scale = OperandScale { offset: 60, mul: 90, shift: 8 };
    let body = QuantizedAdd {
        a: bytes,
        b: bytes,
        output: sum,
        count: 64,
        a_scale: scale,
        b_scale: scale,
        output_scale,
    };
    b.layer(2, &body, &[]);
    let largest = b.memory(16);
    let output_size = ImageSize { width: 2, height: 2, channels: 4 };
    let pool = |input, output| layer::Pool {
        input,
        output,
        input_size: size,
        output_size,
        kernel_width: 2,
        kernel_height: 2,
        stride_width: 2,
        stride_height: 2,
        pad_width: 0,
        pad_height: 0,
    };
    b.layer(8, &pool(sum, largest), &[]);
    let mean = b.memory(64);
    b.layer(9, &pool(values, mean), &[0; 4]);
    let table: Vec<u8> = (0..=255).rev().collect();
    let negative = b.memory(64);
    b.layer(13, &Requantize { input: bytes, output: negative, count: 64 }, &table);
    let both = b.memory(128);
    let ranges = |items: &[(u32, u32)]| -> Vec<u8> {
        items.iter().flat_map(|&(a, n)| [a.to_le_bytes(), n.to_le_bytes()].concat()).collect()
    };
    b.layer(17, &Concat { output: both, count: 2 }, &ranges(&[(bytes, 64), (negative, 64)]));
    let flat = b.memory(256);
    b.layer(20, &Flatten { input: values, output: flat, size }, &[]);
    let resize = |input, output| ResizeNearest {
        input,
        output,
        input_size: size,
        out_width: 6,
        out_height: 5,
        align_corners: 0,
    };
    let larger = b.memory(4 * 4 * 30);
    b.layer(22, &resize(values, larger), &[]);
    let larger_bytes = b.memory(4 * 30);
    b.layer(23, &resize(bytes, larger_bytes), &[]);
    let by_channel = b.memory(256);
    let body =
        ChannelwiseDequantize { input: bytes, output: by_channel, channels: 4, channel_size: 16 };
    b.layer(24, &body, &floats(8));
    let pooled = b.memory(16);
    let body =
        GlobalAveragePool { input: by_channel, output: pooled, kernel_size: 16, channels: 4 };
    b.layer(5, &body, &[]);
    let four = b.memory(4);
    let param = QuantParam { scale: 0.01, bias: -1.0 };
    b.layer(11, &Quantization { input: pooled, output: four, count: 4, param }, &[]);
    b.layer(10241, &AddPadding { input: four, row: 200, channels: 4 }, &[]);
    let padded =
        kpu::layer(ImageShape::new(4, 4, 4), 3, Kernel::K1x1, false, KpuPool::None, (200, 300));
    let map = b.memory(48);
    b.conv(padded, Some(map));
    let three = b.memory(3);
    b.layer(10242, &RemovePadding { input: map, output: three, channels: 3 }, &[]);
    b.layer(10243, &Upload { input: bytes, row: 400, size }, &[]);
    b.finish(&[
        (three, 3),
        (larger, 480),
        (both, 128),
        (mean, 64),
        (largest, 16),
        (flat, 256),
        (larger_bytes, 120),
    ])
}

/// 1 x 8 x 8 bytes through an activation that halves them: of odd bytes, the rounding of the KPU
/// shows.
pub fn halves() -> Vec<u8> {
    let shape = ImageShape::new(1, 8, 8);
    let mut layer = kpu::layer(shape, 1, Kernel::K1x1, false, KpuPool::None, (0, 64));
    layer.layer.arg_x = 0;
    let batch_norm = BatchNorm { mul: 1, shift: 0, add: 0 };
    // What is not above 0 is 0; the last segment begins nowhere.
    let segment = |start, mul| Segment { start, mul, shift: 1, bias: 0 };
    let mut segments = [segment((1 << 35) - 1, 0); SEGMENTS];
    (segments[0], segments[1]) = (segment(-1 << 35, 0), segment(0, 1));
    layer.blocks = [
        batch_norm.encode().to_vec(),
        kpu_arithmetic::Activation { segments }.encode().to_vec(),
        vec![1],
    ];
    let mut b = Builder::default();
    let output = b.memory(64);
    b.conv(layer, Some(output));
    b.finish(&[(output, 64)])
}

/// A picture of 320 x 224 pixels to a YOLOv2 grid of 10 x 7 cells, five anchors and one class.
pub fn grid() -> Vec<u8> {
    let mut b = Builder::default();
    let (mut width, mut height, mut channels) = (320, 224, 3);
    // Lines of up to 320 bytes: the input takes 3,360 rows of 64 bytes.
    for rows in [(0, 3400), (3400, 0), (0, 3400), (3400, 0), (0, 3400)] {
        let input = ImageShape::new(channels, height, width);
        b.conv(kpu::layer(input, 4, Kernel::K3x3, false, KpuPool::Max2, rows), None);
        (width, height, channels) = (width / 2, height / 2, 4);
    }
    let count = 30 * 7 * 10;
    let bytes = b.memory(count);
    let last = ImageShape::new(channels, height, width);
    let last = kpu::layer(last, 30, Kernel::K1x1, false, KpuPool::None, (3400, 0));
    b.conv(last, Some(bytes));
    let output = b.memory(4 * count);
    let param = QuantParam { scale: 0.05, bias: -3.0 };
    b.layer(12, &Quantization { input: bytes, output, count, param }, &[]);
    b.finish(&[(output, 4 * count)])
}

/// Four floats through every operator on vectors.
pub fn vector() -> Vec<u8> {
    let mut b = Builder::default();
    let input = b.memory(16);
    let hidden = b.memory(24);
    let body = FullyConnected {
        input,
        output: hidden,
        in_channels: 4,
        out_channels: 6,
        activation: Activation::Relu.into(),
    };
    b.layer(18, &body, &floats(6 * 4 + 6));
    let sum = b.memory(24);
    b.layer(1, &Add { a: hidden, b: hidden, output: sum, count: 6 }, &[]);
    let mut outputs = Vec::new();
    for kind in [14, 15, 25] {
        let output = b.memory(24);
        b.layer(kind, &Vector { input: sum, output, channels: 6 }, &[]);
        outputs.push((output, 24));
    }
    let both = b.memory(48);
    let ranges: Vec<u8> =
        [hidden, 24, sum, 24].iter().flat_map(|word| word.to_le_bytes()).collect();
    b.layer(16, &Concat { output: both, count: 2 }, &ranges);
    outputs.push((both, 48));
    b.finish(&outputs)
}
