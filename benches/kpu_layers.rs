//! One KPU layer of each kind, in multiply-accumulates as the KPU executes them.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use maix_kpu::{
    kpu::{
        Accelerator, Activation, Job, Kernel, Layer, Pool, Simulator,
        arithmetic::Segment,
        memory::{KPU_RAM_BYTES, rows},
        simulator::SCRATCH_BYTES,
    },
    tensor::ImageShape,
};

/// Channels and size of the input, output channels, and what the layer is.
type Kind = (&'static str, [usize; 3], usize, Kernel, bool, Pool, bool);

/// A relu as nncase 0.2 writes it: nothing, a slope, the top.
fn relu() -> Activation {
    let mut activation = Activation::default();
    for (index, segment) in activation.segments.iter_mut().enumerate() {
        *segment = match index {
            0 => Segment { start: -1 << 35, ..Segment::default() },
            1 => Segment { start: 0, mul: 1 << 10, shift: 20, bias: 0 },
            _ => Segment { start: (1 << 35) - 17 + index as i64, bias: 255, ..Segment::default() },
        };
    }
    activation
}

/// A leaky relu as nncase 0.1 writes it: the lower slope in fourteen pieces.
fn leaky_relu() -> Activation {
    let mut activation = Activation::default();
    for (index, segment) in activation.segments.iter_mut().enumerate() {
        let bias = index.saturating_sub(1) as u8;
        *segment = match index {
            0 => Segment { start: -1 << 35, ..Segment::default() },
            15 => Segment { start: 0, mul: 1 << 10, shift: 20, bias },
            _ => Segment { start: (index as i64 - 15) * 10240, mul: 102, shift: 20, bias },
        };
    }
    activation
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kpu_layers");
    group.sample_size(20);
    let (k1, k3, none) = (Kernel::K1x1, Kernel::K3x3, Pool::None);
    let kinds: [Kind; 11] = [
        ("1x1 64->128 56x56", [64, 56, 56], 128, k1, false, none, true),
        ("1x1 384->384 14x14", [384, 14, 14], 384, k1, false, none, true),
        ("1x1 768->768 7x7", [768, 7, 7], 768, k1, false, none, true),
        ("3x3 3->16 320x240, max 2x2", [3, 240, 320], 16, k3, false, Pool::Max2, true),
        ("3x3 3->16 320x240, left-top 2x2", [3, 240, 320], 16, k3, false, Pool::LeftTop2, true),
        ("3x3 64->64 56x56", [64, 56, 56], 64, k3, false, none, true),
        ("3x3 256->256 14x14", [256, 14, 14], 256, k3, false, none, true),
        ("3x3 64->64 56x56, left-top 2x2", [64, 56, 56], 64, k3, false, Pool::LeftTop2, true),
        ("3x3 64->64 56x56, 16-bit weights", [64, 56, 56], 64, k3, false, none, false),
        ("depthwise 3x3 64 56x56", [64, 56, 56], 64, k3, true, none, true),
        ("depthwise 3x3 384 14x14", [384, 14, 14], 384, k3, true, none, true),
    ];
    let activations = [("", relu()), (", leaky", leaky_relu())];
    for (name, [channels, height, width], out_channels, kernel, depthwise, pool, eight_bit) in kinds
    {
        let input = ImageShape::new(channels, height, width);
        let mut layer = Layer::new(input, out_channels, kernel, depthwise, pool, eight_bit)
            .expect("a possible layer");
        layer.dst_row = rows(input);
        layer.arg_x = -128;
        let batch_norm = [0x51u64 | 7 << 56].repeat(out_channels);
        let batch_norm: Vec<u8> = batch_norm.iter().flat_map(|word| word.to_le_bytes()).collect();
        let weights: Vec<u8> =
            (0..layer.weights_bytes(eight_bit)).map(|i| (i * 37) as u8).collect();
        let (mut ram, mut scratch) = (vec![7; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
        let mut simulator = Simulator::new(&mut ram, &mut scratch).expect("enough memory");
        group.throughput(Throughput::Elements(layer.macs()));
        for (suffix, activation) in &activations {
            let activation = &activation.encode();
            let (batch_norm, weights) = (&batch_norm[..], &weights[..]);
            let job = Job { layer, batch_norm, activation, weights, eight_bit };
            let name = format!("{name}{suffix}");
            group.bench_function(name, |b| b.iter(|| simulator.run(&[job]).expect("runs")));
        }
    }
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
