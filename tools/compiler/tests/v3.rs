//! kmodel version 3: what it can hold is as good as version 4, the rest is refused by name.

mod common;

use std::path::Path;

use common::{
    Random, likeness, outputs,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Options, compile, eval,
    import::{self, InputFormat},
    options::{ElementType, KmodelVersion},
};

fn v3(options: Options) -> Options {
    Options { kmodel_version: KmodelVersion::V3, ..options }
}

/// Compiles as version 3 and as version 4 and compares both with the float model.
fn check(name: &str, bytes: &[u8], float: bool, least: f64) {
    let graph = import::import(bytes, InputFormat::Tflite, None).unwrap().graph;
    let count = graph.tensors[graph.inputs[0]].elements();
    let mut random = Random(99);
    let samples: Vec<Vec<f32>> = (0..6).map(|_| random.list(count, 2.0)).collect();
    let options = Options {
        inference_type: if float { ElementType::Float } else { ElementType::Uint8 },
        input_range: Some((-2.0, 2.0)),
        ..common::raw(common::write_raw(&format!("v3_{name}"), &samples))
    };
    let run = |options: &Options| {
        let compiled = compile(bytes, options, &mut |_, _, _| {}).unwrap_or_else(|p| {
            panic!("{name}: {}", p.iter().map(|p| format!("{p}\n")).collect::<String>())
        });
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        for sample in &samples {
            expected.extend_from_slice(&eval::run(&graph, &[sample], &mut |_, _| {})[0]);
            let found = outputs(&compiled.kmodel, std::slice::from_ref(sample), (-2.0, 2.0));
            got.extend(found.unwrap_or_else(|e| panic!("{name}: {e}")).remove(0));
        }
        (compiled.kmodel, likeness(&expected, &got).decibels)
    };
    let (file, old) = run(&v3(options.clone()));
    let (_, new) = run(&options);
    assert_eq!(file[..4], 3u32.to_le_bytes());
    assert!(old >= least && old >= new - 1.0, "{name}: version 3 {old} dB, version 4 {new} dB");
}

const ONE: [(u16, Field); 2] = [(1, Field::Int(1)), (2, Field::Int(1))];

/// A convolution of 3x3 with relu.
fn conv(m: &mut Model, random: &mut Random, x: i32, size: usize, c: [usize; 2], step: i32) -> i32 {
    let w = m.tensor(&[c[1], 3, 3, c[0]], Data::Floats(random.list(9 * c[0] * c[1], 0.4)));
    let b = m.tensor(&[c[1]], Data::Floats(random.list(c[1], 0.3)));
    let out = size.div_ceil(step as usize);
    let options = [(1, Field::Int(step)), (2, Field::Int(step)), (3, Field::Byte(1))];
    m.push(3, &[x, w, b], &[1, out, out, c[1]], &options)
}

#[test]
fn a_classifier() {
    let mut random = Random(1);
    let mut m = Model::new(&[1, 32, 32, 3]);
    let x = conv(&mut m, &mut random, 0, 32, [3, 8], 1);
    let x = conv(&mut m, &mut random, x, 32, [8, 16], 2);
    let y = conv(&mut m, &mut random, x, 16, [16, 16], 1);
    let x = m.push(0, &[x, y], &[1, 16, 16, 16], &[]);
    let axes = m.tensor(&[2], Data::Ints(vec![1, 2]));
    let x = m.push(40, &[x, axes], &[1, 16], &[]);
    let w = m.tensor(&[10, 16], Data::Floats(random.list(160, 0.5)));
    let b = m.tensor(&[10], Data::Floats(random.list(10, 0.5)));
    let x = m.push(9, &[x, w, b], &[1, 10], &[]);
    m.push(25, &[x], &[1, 10], &[(0, Field::Float(1.0))]);
    check("classifier", &m.bytes(), false, 25.0);
}

#[test]
fn dense_layers_on_the_kpu_and_a_larger_picture() {
    let mut random = Random(2);
    let mut m = Model::new(&[1, 16, 16, 3]);
    let x = conv(&mut m, &mut random, 0, 16, [3, 8], 1);
    let size = m.tensor(&[2], Data::Ints(vec![32, 32]));
    let up = m.push(97, &[x, size], &[1, 32, 32, 8], &[]);
    let x = conv(&mut m, &mut random, up, 32, [8, 8], 1);
    let join = m.push(2, &[x, up], &[1, 32, 32, 16], &[(0, Field::Int(3))]);
    let x = conv(&mut m, &mut random, join, 32, [16, 4], 1);
    m.push(
        17,
        &[x],
        &[1, 16, 16, 4],
        &[
            ONE[0],
            ONE[1],
            (1, Field::Int(2)),
            (2, Field::Int(2)),
            (3, Field::Int(2)),
            (4, Field::Int(2)),
        ],
    );
    check("larger", &m.bytes(), false, 25.0);
    let mut m = Model::new(&[1, 16, 16, 3]);
    let x = conv(&mut m, &mut random, 0, 16, [3, 4], 1);
    let x = conv(&mut m, &mut random, x, 16, [4, 4], 2);
    let flat = m.tensor(&[2], Data::Ints(vec![1, 256]));
    let mut x = m.push(22, &[x, flat], &[1, 256], &[]);
    for (k, n) in [(256, 64), (64, 30)] {
        let w = m.tensor(&[n, k], Data::Floats(random.list(n * k, 0.1)));
        let b = m.tensor(&[n], Data::Floats(random.list(n, 0.1)));
        x = m.push(9, &[x, w, b], &[1, n], &[(0, Field::Byte(1))]);
    }
    check("dense", &m.bytes(), false, 25.0);
}

#[test]
fn a_dense_network_of_floats() {
    let mut random = Random(3);
    let mut m = Model::new(&[1, 4]);
    let w = m.tensor(&[8, 4], Data::Floats(random.list(32, 1.0)));
    let b = m.tensor(&[8], Data::Floats(random.list(8, 1.0)));
    let x = m.push(9, &[0, w, b], &[1, 8], &[(0, Field::Byte(1))]);
    let w = m.tensor(&[3, 8], Data::Floats(random.list(24, 1.0)));
    let b = m.tensor(&[3], Data::Floats(random.list(3, 1.0)));
    let x = m.push(9, &[x, w, b], &[1, 3], &[]);
    m.push(25, &[x], &[1, 3], &[(0, Field::Float(1.0))]);
    check("iris", &m.bytes(), true, 100.0);
}

/// Seven pixels halved are three: the KPU may write them, and single pixels have a layer of their own.
#[test]
fn mnist_in_version_3() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mnist");
    let model = std::fs::read(folder.join("mnist.tflite")).unwrap();
    let new = Options { dataset: Some(folder.join("calibration")), ..Options::default() };
    let kmodels = [v3(new.clone()), new].map(|options| {
        compile(&model, &options, &mut |_, _, _| {}).unwrap_or_else(|p| panic!("{p:?}")).kmodel
    });
    assert_eq!(kmodels[0][..4], 3u32.to_le_bytes());
    for digit in ["3_0", "7_0", "8_0"] {
        let picture = image::open(folder.join(format!("pictures/{digit}.png"))).unwrap();
        let pixels = kmodel_compiler::dataset::planes(&picture, &[1, 1, 28, 28]);
        let [old, new] = kmodels.each_ref().map(|kmodel| {
            outputs(kmodel, std::slice::from_ref(&pixels), (0.0, 1.0)).unwrap().remove(0)
        });
        let decibels = likeness(&new, &old).decibels;
        assert!(decibels > 60.0, "{digit}: {decibels} dB");
    }
}

/// A layer that reads 3x3 pixels wants them framed.
#[test]
fn small_images_need_version_4() {
    let mut random = Random(5);
    let mut m = Model::new(&[1, 7, 7, 3]);
    let x = conv(&mut m, &mut random, 0, 7, [3, 8], 1);
    let two = Field::Int(2);
    let pool = [(0, Field::Byte(1)), (1, two), (2, two), (3, two), (4, two)];
    let x = m.push(17, &[x], &[1, 3, 3, 8], &pool);
    conv(&mut m, &mut random, x, 3, [8, 4], 1);
    let data = common::write_raw("v3_small", &[random.list(147, 1.0)]);
    let options = v3(Options { input_range: Some((-1.0, 1.0)), ..common::raw(data) });
    let problems = compile(&m.bytes(), &options, &mut |_, _, _| {}).err().unwrap();
    assert!(problems.iter().any(|p| p.why.contains("4x4")), "{problems:?}");
}

#[test]
fn what_version_3_lacks_is_told_at_once() {
    let mut random = Random(4);
    let mut m = Model::new(&[1, 16, 16, 3]);
    let x = conv(&mut m, &mut random, 0, 16, [3, 8], 1);
    let size = m.tensor(&[2], Data::Ints(vec![32, 32]));
    let x = m.push(23, &[x, size], &[1, 32, 32, 8], &[]);
    let axes = m.tensor(&[2], Data::Ints(vec![1, 2]));
    m.push(82, &[x, axes], &[1, 8], &[]);
    let data = common::write_raw("v3_lacks", &[random.list(768, 1.0)]);
    let options = v3(Options { input_range: Some((-1.0, 1.0)), ..common::raw(data) });
    let problems = compile(&m.bytes(), &options, &mut |_, _, _| {}).err().unwrap();
    let operators: Vec<&str> = problems.iter().map(|p| p.operator.as_str()).collect();
    assert_eq!(operators, ["resize image", "reduce"]);
    assert!(problems[0].advice.contains("--kmodel-version 3"));
}
