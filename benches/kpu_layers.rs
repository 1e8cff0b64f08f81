//! One KPU layer of each kind, in multiply-accumulates as the KPU executes them.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use maix_kpu::{
    kpu::{
        ACTIVATION_BYTES, Accelerator, Job, Kernel, Layer, Pool, Simulator, memory::KPU_RAM_BYTES,
        simulator::SCRATCH_BYTES,
    },
    tensor::ImageShape,
};

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("kpu_layers");
    group.sample_size(20);
    let kinds = [
        ("1x1 64->128 56x56", (64, 56), 128, Kernel::K1x1, false, Pool::None, true),
        ("1x1 384->384 14x14", (384, 14), 384, Kernel::K1x1, false, Pool::None, true),
        ("1x1 768->768 7x7", (768, 7), 768, Kernel::K1x1, false, Pool::None, true),
        ("3x3 3->16 320x240", (3, 240), 16, Kernel::K3x3, false, Pool::Max2, true),
        ("3x3 64->64 56x56", (64, 56), 64, Kernel::K3x3, false, Pool::None, true),
        ("3x3 256->256 14x14", (256, 14), 256, Kernel::K3x3, false, Pool::None, true),
        ("3x3 64->64 56x56 left-top", (64, 56), 64, Kernel::K3x3, false, Pool::LeftTop2, true),
        ("3x3 64->64 56x56 16-bit", (64, 56), 64, Kernel::K3x3, false, Pool::None, false),
        ("depthwise 3x3 64 56x56", (64, 56), 64, Kernel::K3x3, true, Pool::None, true),
        ("depthwise 3x3 384 14x14", (384, 14), 384, Kernel::K3x3, true, Pool::None, true),
    ];
    for (name, (channels, size), out_channels, kernel, depthwise, pool, eight_bit) in kinds {
        let width = if size == 240 { 320 } else { size };
        let input = ImageShape::new(channels, size, width);
        let mut layer = Layer::new(input, out_channels, kernel, depthwise, pool, eight_bit)
            .expect("a possible layer");
        layer.dst_row = maix_kpu::kpu::memory::rows(input);
        layer.arg_x = -128;
        let batch_norm = [0x51u64 | 7 << 56].repeat(out_channels);
        let batch_norm: Vec<u8> = batch_norm.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut activation = [0; ACTIVATION_BYTES];
        for (index, segment) in activation[..128].chunks_exact_mut(8).enumerate() {
            let start = (index as u64 * 1000).wrapping_sub(8000) & ((1 << 36) - 1);
            segment.copy_from_slice(&(start << 24 | 3 << 8 | 8).to_le_bytes());
        }
        let weights: Vec<u8> =
            (0..layer.weights_bytes(eight_bit)).map(|i| (i * 37) as u8).collect();
        let (mut ram, mut scratch) = (vec![7; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
        let mut simulator = Simulator::new(&mut ram, &mut scratch).expect("enough memory");
        let job = Job {
            layer,
            batch_norm: &batch_norm,
            activation: &activation,
            weights: &weights,
            eight_bit,
        };
        group.throughput(Throughput::Elements(layer.macs()));
        group.bench_function(name, |b| b.iter(|| simulator.run(&[job]).expect("runs")));
    }
    group.finish();
}

criterion_group!(benches, layers);
criterion_main!(benches);
