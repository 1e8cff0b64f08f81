//! One forward of each real model that there is test data for, in multiply-accumulates of the KPU.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use maix_kpu::{
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::Model,
    session::{Requirements, Session},
};

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/golden.rs"]
#[allow(dead_code)] // inputs only: a bench compares nothing
mod recorded;

/// Multiply-accumulates that the KPU executes for one forward.
fn kpu_macs(model: &Model, file: &&[u8]) -> u64 {
    let convs = model.nodes(file).filter_map(|node| node.expect("checked").kpu_conv());
    convs.map(|conv| conv.layer.macs() * conv.batches as u64).sum()
}

fn models(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("models");
    group.sample_size(10);
    for case in recorded::cases(&["v3_", "v4_"]).unwrap_or_default() {
        let Some(name) = case.name.strip_suffix(" natural") else { continue };
        let file = &&case.model[..];
        let model = Model::open(file).expect("a real model");
        let mut memory = vec![0; Requirements::of(&model, file).expect("checked").bytes()];
        let mut session = Session::new(model, file, &mut memory).expect("enough memory");
        let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
        let mut simulator = Simulator::new(&mut ram, &mut scratch).expect("enough memory");
        group.throughput(Throughput::Elements(kpu_macs(&model, file)));
        group.bench_function(name, |b| {
            b.iter(|| session.forward(&mut simulator, &Input::Raw(&case.input)).expect("runs"));
        });
    }
    group.finish();
}

criterion_group!(benches, models);
criterion_main!(benches);
