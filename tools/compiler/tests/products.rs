//! Means, dense layers and functions on bytes, and the opcodes that only some firmwares have.

mod common;

use common::{
    Random, against_float,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Options, Report, compile,
    import::{self, InputFormat},
    options::{ElementType, NNIL, TABLE_LOOKUP},
};

const RANGE: (f32, f32) = (-2.0, 2.0);

/// Compiles and runs; the answers are near to the float model's.
fn check(name: &str, model: &Model, options: Options, decibels: f64) -> Report {
    let bytes = model.bytes();
    let graph = import::import(&bytes, InputFormat::Tflite, None).unwrap().graph;
    let count = graph.tensors[graph.inputs[0]].elements();
    let mut random = Random(0xB17E);
    let samples: Vec<Vec<f32>> = (0..4).map(|_| random.list(count, RANGE.1)).collect();
    let data = common::raw(common::write_raw(&format!("products_{name}"), &samples));
    let (dataset, dataset_format) = (data.dataset, data.dataset_format);
    let options = Options { dataset, dataset_format, input_range: Some(RANGE), ..options };
    let compiled =
        compile(&bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| panic!("{name}: {}", p[0]));
    let likeness = against_float(name, &graph, &compiled.kmodel, &samples, RANGE);
    assert!(likeness.decibels >= decibels, "{name}: {likeness:?}\n{}", compiled.report);
    compiled.report
}

fn rows(report: &Report, operator: &str) -> usize {
    report.rows.iter().filter(|r| r.operator == operator).count()
}

/// A 1x1 convolution with relu from 8 channels.
fn conv(m: &mut Model, random: &mut Random, size: [usize; 2], channels: usize) -> i32 {
    let weights = m.tensor(&[channels, 1, 1, 8], Data::Floats(random.list(8 * channels, 0.6)));
    let bias = m.tensor(&[channels], Data::Floats(random.list(channels, 0.5)));
    let options = [(1, Field::Int(1)), (2, Field::Int(1)), (3, Field::Byte(1))];
    m.push(3, &[0, weights, bias], &[1, size[0], size[1], channels], &options)
}

/// A dense layer.
fn dense(m: &mut Model, random: &mut Random, x: i32, k: usize, n: usize) -> i32 {
    let limit = (3.0 / k as f32).sqrt();
    let weights = m.tensor(&[n, k], Data::Floats(random.list(n * k, limit)));
    let bias = m.tensor(&[n], Data::Floats(random.list(n, 0.5)));
    m.push(9, &[x, weights, bias], &[1, n], &[])
}

/// The end of a MobileNet: the mean of 7x7 pixels is a product of bytes, and the KPU goes on.
#[test]
fn means_of_whole_planes() {
    let mut random = Random(83);
    for (case, size) in [[4, 5], [6, 6], [7, 7], [6, 10]].into_iter().enumerate() {
        let mut m = Model::new(&[1, size[0], size[1], 8]);
        let x = conv(&mut m, &mut random, size, 60);
        let axes = m.tensor(&[2], Data::Ints(vec![1, 2]));
        let mean = m.push(40, &[x, axes], &[1, 60], &[]);
        dense(&mut m, &mut random, mean, 60, 32);
        let report = check(&format!("mean_{case}"), &m, Options::default(), 35.0);
        let counts = ["reduce", "quantized matmul", "matmul"].map(|o| rows(&report, o));
        assert_eq!(counts, [0, 1, 0], "{report}");
    }
}

/// The same with so many channels that the KPU is faster: the mean stays in KPU RAM.
#[test]
fn means_of_many_channels() {
    let mut random = Random(85);
    let cases = [(4, 1000), (5, 700), (6, 600), (7, 500), (8, 400), (14, 200), (16, 130)];
    for (size, channels) in cases {
        let mut m = Model::new(&[1, size, size, 8]);
        let x = conv(&mut m, &mut random, [size, size], channels);
        let axes = m.tensor(&[2], Data::Ints(vec![1, 2]));
        let mean = m.push(40, &[x, axes], &[1, channels], &[]);
        dense(&mut m, &mut random, mean, channels, 32);
        let report = check(&format!("mean_of_{size}"), &m, Options::default(), 38.0);
        let cpu = ["reduce", "quantized matmul", "matmul", "pad"].map(|o| rows(&report, o));
        assert_eq!(cpu, [0; 4], "{report}");
        assert!(rows(&report, "KPU upload") <= 1, "{report}");
    }
}

/// A dense layer reads all pixels of an image in KPU RAM.
#[test]
fn dense_layers_behind_images() {
    let mut random = Random(84);
    for (case, size) in [[3, 3], [4, 4], [5, 7], [7, 7], [8, 6]].into_iter().enumerate() {
        let k = size[0] * size[1] * 20;
        let mut m = Model::new(&[1, size[0], size[1], 8]);
        let x = conv(&mut m, &mut random, size, 20);
        let shape = m.tensor(&[2], Data::Ints(vec![1, k as i32]));
        let flat = m.push(22, &[x, shape], &[1, k], &[]);
        let x = dense(&mut m, &mut random, flat, k, 40);
        dense(&mut m, &mut random, x, 40, 30);
        let report = check(&format!("dense_{case}"), &m, Options::default(), 35.0);
        let counts = ["matmul", "quantized matmul", "KPU upload"].map(|o| rows(&report, o));
        assert_eq!(counts[..2], [0, 0], "{report}");
    }
}

/// An image of more channels than the KPU can have copies of.
#[test]
fn dense_layers_of_many_inputs() {
    let mut random = Random(85);
    let mut m = Model::new(&[1, 10, 10, 8]);
    let x = conv(&mut m, &mut random, [10, 10], 80);
    let shape = m.tensor(&[2], Data::Ints(vec![1, 8000]));
    let flat = m.push(22, &[x, shape], &[1, 8000], &[]);
    let x = dense(&mut m, &mut random, flat, 8000, 40);
    dense(&mut m, &mut random, x, 40, 30);
    let report = check("many", &m, Options::default(), 35.0);
    assert_eq!(rows(&report, "quantized matmul"), 1, "{report}");
}

#[test]
fn opcodes_that_are_allowed() {
    let mut random = Random(86);
    // tanh, hard swish, elu
    for code in [28, 117, 111] {
        let mut m = Model::new(&[1, 6, 6, 8]);
        let x = conv(&mut m, &mut random, [6, 6], 8);
        let size = m.tensor(&[2], Data::Ints(vec![12, 12]));
        let x = m.push(97, &[x, size], &[1, 12, 12, 8], &[]);
        m.push(code, &[x], &[1, 12, 12, 8], &[]);
        for (inference_type, opcode, operator) in [
            (ElementType::Uint8, TABLE_LOOKUP, "table lookup"),
            (ElementType::Float, NNIL, "nnil unary"),
        ] {
            let least = if opcode == NNIL { 100.0 } else { 33.0 };
            for allowed in [false, true] {
                let allowed_ops = if allowed { vec![opcode] } else { vec![] };
                let options = Options { inference_type, allowed_ops, ..Options::default() };
                let report = check(&format!("allowed_{code}_{opcode}"), &m, options, least);
                assert_eq!(rows(&report, operator), usize::from(allowed), "{code}: {report}");
            }
        }
    }
}

/// PReLU behind a convolution and behind a sum, and tensors that are read by both, stay in KPU RAM.
#[test]
fn prelu_stays_in_kpu_ram() {
    let mut random = Random(87);
    for case in 0..8 {
        let size = [random.whole(12, 40), random.whole(12, 70)];
        let channels = random.whole(17, 40);
        let shape = [1, size[0], size[1], channels];
        let mut m = Model::new(&[1, size[0], size[1], 8]);
        let a = conv(&mut m, &mut random, size, channels);
        let b = conv(&mut m, &mut random, size, channels);
        let difference = m.push(41, &[a, b], &shape, &[]);
        let mut slopes = || {
            let slopes = (0..channels).map(|_| random.within(-0.5, 1.5)).collect();
            m.tensor(&[1, 1, channels], Data::Floats(slopes))
        };
        let (first, second) = (slopes(), slopes());
        let p = m.push(54, &[difference, first], &shape, &[]);
        let sum = m.push(0, &[p, difference], &shape, &[]);
        m.push(54, &[sum, second], &shape, &[]);
        let report = check(&format!("prelu_{case}"), &m, Options::default(), 30.0);
        let cpu = ["binary", "quantized binary", "conv2d"].map(|o| rows(&report, o));
        assert_eq!((cpu, rows(&report, "KPU upload") <= 1), ([0; 3], true), "{report}");
    }
}

/// A tensor that the CPU computes is uploaded beside its positive part; what is too small for the KPU
/// stays in float.
#[test]
fn prelu_of_other_tensors() {
    let mut random = Random(88);
    for (case, (size, layers)) in [([24, 20], 2), ([2, 2], 0)].into_iter().enumerate() {
        let [h, w] = size;
        let mut m = Model::new(&[1, h, w, 8]);
        let x = conv(&mut m, &mut random, size, 8);
        let shape = m.tensor(&[2], Data::Ints(vec![2 * h as i32, 2 * w as i32]));
        let shape4 = [1, 2 * h, 2 * w, 8];
        let x = m.push(97, &[x, shape], &shape4, &[]);
        let shape = m.tensor(&[2], Data::Ints(vec![h as i32, w as i32]));
        let x = m.push(97, &[x, shape], &[1, h, w, 8], &[]);
        let slopes = m.tensor(&[1, 1, 8], Data::Floats(random.list(8, 1.0)));
        m.push(54, &[x, slopes], &[1, h, w, 8], &[]);
        let report = check(&format!("prelu_other_{case}"), &m, Options::default(), 30.0);
        let of_input = 1;
        assert_eq!(rows(&report, "KPU conv2d"), of_input + layers, "{report}");
    }
}
