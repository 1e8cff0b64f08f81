//! Layers whose images do not fit into KPU RAM together run on the KPU, some lines at a time.

mod common;

use common::{
    Random, likeness, outputs,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Options, compile, eval,
    import::{self, InputFormat},
};

const RANGE: (f32, f32) = (-1.0, 1.0);

/// Convolutions one behind the other, `(kernel, step, channels)` each, and a pool after some.
fn check(name: &str, size: [usize; 2], layers: &[(usize, usize, usize, bool)]) {
    let mut random = Random(0x7A11);
    let mut m = Model::new(&[1, size[0], size[1], 3]);
    let (mut x, mut shape) = (0, [size[0], size[1], 3]);
    for &(kernel, step, channels, pooled) in layers {
        let count = channels * kernel * kernel * shape[2];
        let limit = (3.0 / (kernel * kernel * shape[2]) as f32).sqrt();
        let w = m
            .tensor(&[channels, kernel, kernel, shape[2]], Data::Floats(random.list(count, limit)));
        let b = m.tensor(&[channels], Data::Floats(random.list(channels, 0.3)));
        shape = [shape[0].div_ceil(step), shape[1].div_ceil(step), channels];
        let s = Field::Int(step as i32);
        let options = [(0, Field::Byte(0)), (1, s), (2, s), (3, Field::Byte(1))];
        x = m.push(3, &[x, w, b], &[1, shape[0], shape[1], channels], &options);
        if pooled {
            let two = Field::Int(2);
            shape = [shape[0] / 2, shape[1] / 2, channels];
            let options = [(0, Field::Byte(1)), (1, two), (2, two), (3, two), (4, two)];
            x = m.push(17, &[x], &[1, shape[0], shape[1], channels], &options);
        }
    }
    let bytes = m.bytes();
    let graph = import::import(&bytes, InputFormat::Tflite, None).unwrap().graph;
    let samples: Vec<Vec<f32>> =
        (0..2).map(|_| random.list(size[0] * size[1] * 3, RANGE.1)).collect();
    let data = common::write_raw(&format!("large_{name}"), &samples);
    let options = Options { input_range: Some(RANGE), ..common::raw(data) };
    let compiled =
        compile(&bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| panic!("{name}: {}", p[0]));
    let report = &compiled.report;
    assert!(!report.rows.iter().any(|r| r.operator == "conv2d"), "{name}\n{report}");
    let parts = report.rows.iter().filter(|r| r.operator == "strided slice").count();
    assert!(parts > 1, "{name}: nothing was split\n{report}");
    let wanted = eval::run(&graph, &[&samples[0]], &mut |_, _| {});
    let got = outputs(&compiled.kmodel, &samples[..1], RANGE).unwrap();
    let likeness = likeness(&wanted[0], &got[0]);
    assert!(likeness.decibels > 28.0, "{name}: {likeness:?}\n{report}");
}

#[test]
fn images_of_many_channels() {
    check("channels", [128, 160], &[(3, 1, 44, false), (3, 1, 44, false), (3, 2, 8, false)]);
}

#[test]
fn pools_are_taken_along() {
    check("pooled", [126, 150], &[(1, 1, 82, false), (3, 1, 20, true), (3, 1, 8, false)]);
}

#[test]
fn copies_for_large_kernels() {
    check("kernel", [128, 128], &[(3, 1, 12, false), (5, 1, 12, false), (5, 2, 8, false)]);
}
