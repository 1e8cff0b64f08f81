//! The CPU operators that cost time, in multiply-accumulates (or elements) per second.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use maix_kpu::kernels::conv2d::{Conv2d, conv2d};
use maix_kpu::kernels::convolution::Convolution;
use maix_kpu::kernels::matmul::{MatMul, matmul};
use maix_kpu::kernels::normalize::softmax;
use maix_kpu::kernels::quantize::Rescale;
use maix_kpu::kernels::quantized_conv2d::{QuantizedConv2d, quantized_conv2d};
use maix_kpu::kernels::window::{Pad, Window};
use maix_kpu::kernels::{Clamp, Layout};
use maix_kpu::tensor::{Shape, elements};

fn sizes(
    input: Shape,
    groups: usize,
    out_channels: usize,
    filter: usize,
    stride: usize,
) -> Convolution {
    let edge = (filter / 2) as i32;
    let window = Window {
        filter: [filter; 2],
        stride: [stride; 2],
        dilation: [1; 2],
        pad: [Pad { before: edge, after: edge }; 2],
    };
    Convolution { layout: Layout::Nchw, input, groups, out_channels, window }
}

/// Numbers between -1 and 1 without a pattern.
fn floats(count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0)
        .collect()
}

fn convolutions(c: &mut Criterion) {
    let cases = [
        ("conv2d 5x5 stride 2, 1x200x200 -> 32", sizes([1, 1, 200, 200], 1, 32, 5, 2)),
        ("conv2d 3x3, 32x25x25 -> 32", sizes([1, 32, 25, 25], 1, 32, 3, 1)),
        ("conv2d 3x3, 128x7x7 -> 128", sizes([1, 128, 7, 7], 1, 128, 3, 1)),
        ("conv2d 1x1, 64x56x56 -> 128", sizes([1, 64, 56, 56], 1, 128, 1, 1)),
        ("depthwise 3x3, 32x56x56", sizes([1, 32, 56, 56], 32, 32, 3, 1)),
        ("depthwise 3x3 stride 2, 64x56x56", sizes([1, 64, 56, 56], 64, 64, 3, 2)),
    ];
    let mut group = c.benchmark_group("float");
    for (name, sizes) in &cases {
        let p = Conv2d { sizes: *sizes, clamp: Clamp::RELU6 };
        let x = floats(elements(&sizes.input).unwrap());
        let (weights, bias) = (floats(sizes.weights().unwrap()), floats(sizes.out_channels));
        let mut y = vec![0.0; elements(&sizes.output().unwrap()).unwrap()];
        group.throughput(Throughput::Elements(sizes.macs().unwrap() as u64));
        group.bench_function(*name, |b| {
            b.iter(|| conv2d(black_box(&p), &x, &weights, &bias, &mut y));
        });
    }
    group.finish();

    let mut group = c.benchmark_group("quantized");
    for (name, sizes) in &cases {
        let rescale = Rescale { multiplier: 1_000_000, shift: 30, offset: 100 };
        let p = QuantizedConv2d { sizes: *sizes, input_offset: -128, filter_offset: -120, rescale };
        let x: Vec<u8> = (0..elements(&sizes.input).unwrap()).map(|i| (i * 37) as u8).collect();
        let weights: Vec<u8> = (0..sizes.weights().unwrap()).map(|i| (i * 91) as u8).collect();
        let bias = vec![100; sizes.out_channels];
        let mut y = vec![0; elements(&sizes.output().unwrap()).unwrap()];
        group.throughput(Throughput::Elements(sizes.macs().unwrap() as u64));
        group.bench_function(*name, |b| {
            b.iter(|| quantized_conv2d(black_box(&p), &x, &weights, &bias, &mut y));
        });
    }
    group.finish();
}

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    for (rows, inner, columns) in [(1, 512, 10), (1, 1024, 1000), (128, 256, 256)] {
        let p = MatMul { rows, inner, columns };
        let [a, b, y] = p.elements().unwrap();
        let (a, b, bias, mut y) = (floats(a), floats(b), floats(columns), vec![0.0; y]);
        group.throughput(Throughput::Elements((rows * inner * columns) as u64));
        group.bench_function(format!("{rows}x{inner} by {inner}x{columns}"), |bench| {
            bench.iter(|| matmul(black_box(&p), Clamp::NONE, &a, &b, &bias, &mut y));
        });
    }
    group.finish();
}

fn vectors(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax");
    let (x, mut y) = (floats(1000), vec![0.0; 1000]);
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1000", |b| b.iter(|| softmax(black_box(&x), &mut y, 1000, 1.0)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = convolutions, products, vectors
}
criterion_main!(benches);
