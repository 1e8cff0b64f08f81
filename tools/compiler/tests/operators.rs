//! Each TensorFlow Lite operator: a model made here with random shapes and parameters is compiled,
//! simulated and compared with the float model.

mod common;

use common::{
    Random, against_float, likeness, outputs,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Options, Report, compile, eval,
    import::{self, InputFormat},
    options::ElementType,
};

const BYTE: fn(u8) -> Field = Field::Byte;
const INT: fn(i32) -> Field = Field::Int;

/// Compiles for float and for bytes; both answers are near the float model's. Returns the report on
/// the uint8 kmodel.
fn check(name: &str, model: &Model, decibels: f64) -> Report {
    let bytes = model.bytes();
    common::keep_as_seed(&format!("tflite_{name}"), &bytes);
    let imported = import::import(&bytes, InputFormat::Tflite, None);
    let graph = imported
        .unwrap_or_else(|p| {
            panic!("{name}: {}", p.iter().map(|p| format!("{p}\n")).collect::<String>())
        })
        .graph;
    let count = graph.tensors[graph.inputs[0]].elements();
    let mut random = Random(0xFEED_F00D);
    let samples: Vec<Vec<f32>> = (0..6).map(|_| random.list(count, 2.0)).collect();
    let data = common::write_raw(&format!("tflite_{name}"), &samples);
    let mut report = None;
    for inference_type in [ElementType::Float, ElementType::Uint8] {
        let options =
            Options { inference_type, input_range: Some((-2.0, 2.0)), ..common::raw(data.clone()) };
        let compiled = compile(&bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| {
            panic!("{name}: {}", p.iter().map(|p| format!("{p}\n")).collect::<String>())
        });
        let least = if inference_type == ElementType::Float { 80.0 } else { decibels };
        let likeness = against_float(name, &graph, &compiled.kmodel, &samples, (-2.0, 2.0));
        assert!(likeness.decibels >= least, "{name} {inference_type:?}: {likeness:?}");
        report = Some(compiled.report);
    }
    report.expect("compiled")
}

/// Rows of a report with an operator.
fn rows(report: &Report, operator: &str) -> usize {
    report.rows.iter().filter(|r| r.operator == operator).count()
}

#[test]
fn convolutions_of_every_step_and_border() {
    let mut random = Random(1);
    for case in 0..30 {
        let kernel = random.pick(&[1usize, 3, 3, 3, 5, 7]);
        let stride = random.pick(&[1usize, 1, 2, 2]);
        let valid = random.whole(0, 1) == 1;
        let (h, w) = (random.whole(8, 40), random.whole(8, 70));
        let (channels, outs) = (random.whole(3, 9), random.whole(8, 16));
        let depthwise = case % 3 == 0;
        let outs = if depthwise { channels } else { outs };
        let out = |n: usize| if valid { (n - kernel) / stride + 1 } else { n.div_ceil(stride) };
        let shape = [1, out(h), out(w), outs];
        let mut m = Model::new(&[1, h, w, channels]);
        let w_shape = if depthwise {
            [1, kernel, kernel, channels]
        } else {
            [outs, kernel, kernel, channels]
        };
        let weights = random.list(w_shape.iter().product(), 0.5);
        let weights = m.tensor(&w_shape, Data::Floats(weights));
        let bias = m.tensor(&[outs], Data::Floats(random.list(outs, 1.0)));
        let activation = random.pick(&[0u8, 1, 3]);
        let mut options =
            vec![(0, BYTE(u8::from(valid))), (1, INT(stride as i32)), (2, INT(stride as i32))];
        if depthwise {
            options.extend([(3, INT(1)), (4, BYTE(activation))]);
            m.push(4, &[0, weights, bias], &shape, &options);
        } else {
            options.push((3, BYTE(activation)));
            m.push(3, &[0, weights, bias], &shape, &options);
        }
        let name = format!(
            "conv {case}: {h}x{w}x{channels} kernel {kernel} stride {stride} valid {valid} depthwise {depthwise}"
        );
        let report = check(&name.replace([' ', ':'], "_"), &m, 28.0);
        // Copies for a larger kernel are not worth it for little work.
        let macs = shape.iter().product::<usize>() * w_shape[1..].iter().product::<usize>();
        let is_little = kernel > 3 && (depthwise || macs < 200_000);
        assert!(is_little || rows(&report, "KPU conv2d") > 0, "{name} runs on the CPU");
    }
}

/// Weights that the file keeps sparse, behind DENSIFY, are those of the dense file.
#[test]
fn sparse_weights() {
    let mut random = Random(5);
    let weights: Vec<f32> =
        random.list(6 * 9 * 5, 0.5).into_iter().map(|w| if w > 0.1 { w } else { 0.0 }).collect();
    let model = |sparse: bool| {
        let mut m = Model::new(&[1, 12, 10, 5]);
        let shape = [6, 3, 3, 5];
        let weights = if sparse {
            let stored = m.tensor(&shape, Data::Sparse(weights.clone()));
            m.push(124, &[stored], &shape, &[])
        } else {
            m.tensor(&shape, Data::Floats(weights.clone()))
        };
        m.push(3, &[0, weights, -1], &[1, 12, 10, 6], &[(1, INT(1)), (2, INT(1))]);
        m
    };
    check("sparse", &model(true), 28.0);
    let input = random.list(12 * 10 * 5, 2.0);
    let [sparse, dense] = [true, false].map(|sparse| {
        let graph =
            import::import(&model(sparse).bytes(), InputFormat::Tflite, None).unwrap().graph;
        eval::run(&graph, &[&input], &mut |_, _| {})
    });
    assert_eq!(sparse, dense);
}

/// Channels that stay far below relu6's bound, read with large weights: one scale for all channels
/// leaves little of them unless they are enlarged.
#[test]
fn small_channels_before_relu6_are_enlarged() {
    let mut random = Random(6);
    let (channels, shape) = (8usize, [1, 16, 16, 8]);
    let size = |c: usize| if c.is_multiple_of(2) { 2.0 } else { 0.02 };
    let mut m = Model::new(&[1, 16, 16, 3]);
    let weights: Vec<f32> = (0..channels).flat_map(|c| random.list(3, size(c))).collect();
    let weights = m.tensor(&[channels, 1, 1, 3], Data::Floats(weights));
    let step = [(1, INT(1)), (2, INT(1))];
    let x = m.push(3, &[0, weights, -1], &shape, &[&step[..], &[(3, BYTE(3))]].concat());
    let weights =
        (0..9 * channels).map(|i| random.within(-0.5, 0.5) / size(i % channels)).collect();
    let weights = m.tensor(&[1, 3, 3, channels], Data::Floats(weights));
    m.push(4, &[x, weights, -1], &shape, &[&step[..], &[(3, INT(1))]].concat());
    let report = check("small_channels_before_relu6", &m, 32.0);
    // Nothing had to stay in float.
    assert_eq!(report.warnings, [""; 0]);
}

#[test]
fn functions() {
    // logistic, relu, relu -1..1, relu6, tanh, exp, neg, sin, square, leaky, abs, cos, elu, hard swish
    for code in [14, 19, 20, 21, 28, 47, 59, 66, 92, 98, 101, 108, 111, 117] {
        for shape in [&[1, 7, 9, 5][..], &[1, 20]] {
            let mut m = Model::new(shape);
            let options = if code == 98 { vec![(0, Field::Float(0.1))] } else { vec![] };
            m.push(code, &[0], shape, &options);
            check(&format!("function_{code}_{}", shape.len()), &m, 25.0);
        }
    }
}

#[test]
fn two_operands() {
    let mut random = Random(9);
    for code in [0, 41, 18, 42, 55, 57, 99] {
        for constant in [&[1, 6, 5, 8][..], &[1, 1, 1, 8], &[8], &[1]] {
            let mut m = Model::new(&[1, 6, 5, 8]);
            let values = random.list(constant.iter().product(), 1.0);
            let values = values.iter().map(|v| if v.abs() < 0.3 { v + 0.6 } else { *v }).collect();
            let c = m.tensor(constant, Data::Floats(values));
            m.push(code, &[0, c], &[1, 6, 5, 8], &[]);
            check(&format!("binary_{code}_{}_{}", constant.len(), constant[0]), &m, 24.0);
        }
    }
}

/// Residual blocks of random sizes: their sums, and what follows, never leave KPU RAM.
#[test]
fn sums_stay_in_kpu_ram() {
    let mut random = Random(77);
    for case in 0..12 {
        let (h, w, c) = (random.whole(4, 20), random.whole(4, 40), random.whole(2, 21));
        let shape = [1, h, w, c];
        let mut m = Model::new(&[1, h, w, 3]);
        let conv = |m: &mut Model, random: &mut Random, x: i32, from: usize, kernel: usize| {
            let taps = kernel * kernel * from;
            let limit = (3.0 / taps as f32).sqrt();
            let weights =
                m.tensor(&[c, kernel, kernel, from], Data::Floats(random.list(c * taps, limit)));
            let bias = m.tensor(&[c], Data::Floats(random.list(c, 0.5)));
            m.push(3, &[x, weights, bias], &shape, &[(0, BYTE(0)), (1, INT(1)), (2, INT(1))])
        };
        let mut x = conv(&mut m, &mut random, 0, 3, 3);
        for _ in 0..2 {
            let kernel = random.pick(&[1, 3]);
            let y = conv(&mut m, &mut random, x, c, kernel);
            // 0 adds, 41 subtracts; no function, relu or relu6 behind.
            let code = random.pick(&[0, 41]);
            x = m.push(code, &[y, x], &shape, &[(0, BYTE(random.pick(&[0, 1, 3])))]);
        }
        conv(&mut m, &mut random, x, c, 1);
        let report = check(&format!("residual_{case}"), &m, 28.0);
        assert_eq!(rows(&report, "quantized binary") + rows(&report, "KPU upload"), 0, "{report}");
    }
}

#[test]
fn windows_and_sizes() {
    for (code, kernel, stride) in
        [(17, 2, 2), (1, 2, 2), (17, 3, 2), (1, 3, 2), (17, 4, 4), (1, 4, 4), (17, 2, 1)]
    {
        let n = |n: usize| n.div_ceil(stride);
        let mut m = Model::new(&[1, 16, 20, 6]);
        let (k, s) = (INT(kernel), INT(stride as i32));
        m.push(code, &[0], &[1, n(16), n(20), 6], &[(0, BYTE(0)), (1, s), (2, s), (3, k), (4, k)]);
        check(&format!("pool_{code}_{kernel}_{stride}"), &m, 28.0);
    }
    for (code, align, half) in
        [(23, 0, 0), (23, 1, 0), (23, 0, 1), (97, 0, 0), (97, 0, 1), (97, 1, 0)]
    {
        for size in [[10, 12], [7, 9], [3, 3]] {
            let mut m = Model::new(&[1, 5, 6, 4]);
            let new = m.tensor(&[2], Data::Ints(size.to_vec()));
            let first = if code == 23 { 2 } else { 0 };
            let shape = [1, size[0] as usize, size[1] as usize, 4];
            m.push(code, &[0, new], &shape, &[(first, BYTE(align)), (first + 1, BYTE(half))]);
            check(&format!("resize_{code}_{align}_{half}_{}", size[0]), &m, 28.0);
        }
    }
    let mut random = Random(31);
    for stride in [1usize, 2] {
        let mut m = Model::new(&[1, 6, 7, 4]);
        let size = m.tensor(&[4], Data::Ints(vec![1, 6 * stride as i32, 7 * stride as i32, 5]));
        let w = m.tensor(&[5, 3, 3, 4], Data::Floats(random.list(180, 0.5)));
        let bias = m.tensor(&[5], Data::Floats(random.list(5, 1.0)));
        let s = INT(stride as i32);
        m.push(
            67,
            &[size, w, 0, bias],
            &[1, 6 * stride, 7 * stride, 5],
            &[(0, BYTE(0)), (1, s), (2, s)],
        );
        check(&format!("transpose_conv_{stride}"), &m, 28.0);
    }
}

#[test]
fn reductions_and_products() {
    for code in [40, 74, 82, 89] {
        for (axes, keep) in [(vec![1, 2], 0u8), (vec![1, 2], 1), (vec![3], 1)] {
            let mut m = Model::new(&[1, 8, 8, 6]);
            let axis = m.tensor(&[axes.len()], Data::Ints(axes.clone()));
            let shape: Vec<usize> = [1usize, 8, 8, 6]
                .iter()
                .enumerate()
                .filter_map(|(i, &d)| match axes.contains(&(i as i32)) {
                    true => (keep == 1).then_some(1),
                    false => Some(d),
                })
                .collect();
            m.push(code, &[0, axis], &shape, &[(0, BYTE(keep))]);
            check(&format!("reduce_{code}_{}_{keep}", axes.len()), &m, 25.0);
        }
    }
    let mut random = Random(41);
    for (k, columns) in [(64, 10), (200, 30), (1500, 8)] {
        let mut m = Model::new(&[1, k]);
        let w = m.tensor(&[columns, k], Data::Floats(random.list(columns * k, 0.2)));
        let b = m.tensor(&[columns], Data::Floats(random.list(columns, 0.5)));
        let y = m.push(9, &[0, w, b], &[1, columns], &[(0, BYTE(1))]);
        m.push(25, &[y], &[1, columns], &[(0, Field::Float(1.0))]);
        check(&format!("dense_{k}"), &m, 25.0);
    }
    let mut m = Model::new(&[1, 5, 4, 8]);
    m.push(11, &[0], &[1, 5, 4, 8], &[]);
    check("l2", &m, 25.0);
}

#[test]
fn moving_elements() {
    let shape = [1, 6, 8, 4];
    let mut m = Model::new(&shape);
    let pads = m.tensor(&[4, 2], Data::Ints(vec![0, 0, 1, 2, 0, 3, 0, 0]));
    m.push(34, &[0, pads], &[1, 9, 11, 4], &[]);
    check("pad", &m, 28.0);
    let mut m = Model::new(&shape);
    let pads = m.tensor(&[4, 2], Data::Ints(vec![0, 0, 1, 2, 2, 1, 0, 0]));
    m.push(100, &[0, pads], &[1, 9, 11, 4], &[(0, BYTE(0))]);
    check("mirror", &m, 28.0);
    let mut m = Model::new(&shape);
    let perm = m.tensor(&[4], Data::Ints(vec![0, 3, 1, 2]));
    m.push(39, &[0, perm], &[1, 4, 6, 8], &[]);
    check("transpose", &m, 28.0);
    let mut m = Model::new(&shape);
    let wanted = m.tensor(&[2], Data::Ints(vec![1, -1]));
    m.push(22, &[0, wanted], &[1, 192], &[]);
    check("reshape", &m, 28.0);
    for code in [5, 26] {
        let out = if code == 5 { [1, 12, 16, 1] } else { [1, 3, 4, 16] };
        let mut m = Model::new(&shape);
        m.push(code, &[0], &out, &[(0, INT(2))]);
        check(&format!("blocks_{code}"), &m, 28.0);
    }
    let mut m = Model::new(&shape);
    let y = m.push(19, &[0], &shape, &[]);
    m.push(2, &[0, y, 0], &[1, 6, 8, 12], &[(0, INT(3))]);
    check("concat", &m, 28.0);
    let mut m = Model::new(&shape);
    let [begin, end, step] = [[0, 1, 7, 0], [1, 5, 0, 4], [1, 2, -2, 1]]
        .map(|v| v.to_vec())
        .map(|v| m.tensor(&[4], Data::Ints(v)));
    m.push(45, &[0, begin, end, step], &[1, 2, 4, 4], &[]);
    check("strided_slice", &m, 28.0);
}

#[test]
fn quantized_models_bring_their_ranges() {
    let mut random = Random(51);
    let mut m = Model::new(&[1, 10, 10, 3]);
    m.tensors[0].quantized = Some((4.0 / 255.0, 0));
    let mut byte = |n: usize| (0..n).map(|_| random.within(-127.0, 127.0) as i8).collect();
    let w = m.tensor(&[8, 3, 3, 3], Data::Bytes(byte(216)));
    m.tensors[w as usize].quantized = Some((0.004, 0));
    let bias = m.tensor(&[8], Data::Ints(vec![10, -20, 30, 0, 5, 6, 7, 8]));
    m.tensors[bias as usize].quantized = Some((4.0 / 255.0 * 0.004, 0));
    let y = m.push(3, &[0, w, bias], &[1, 10, 10, 8], &[(1, INT(1)), (2, INT(1)), (3, BYTE(1))]);
    m.tensors[y as usize].quantized = Some((0.02, -128));
    let bytes = m.bytes();
    // No data set is needed: the ranges stand in the file.
    let compiled = compile(&bytes, &Options::default(), &mut |_, _, _| {}).unwrap();
    let graph = import::import(&bytes, InputFormat::Tflite, None).unwrap().graph;
    let input = random.list(300, 1.9);
    let wanted = eval::run(&graph, &[&input], &mut |_, _| {});
    let range = (-128.0 * 4.0 / 255.0, 127.0 * 4.0 / 255.0);
    let found = outputs(&compiled.kmodel, &[input], range).unwrap();
    let clipped: Vec<f32> = wanted[0].iter().map(|v| v.clamp(0.0, 0.02 * 255.0)).collect();
    assert!(likeness(&clipped, &found[0]).decibels > 28.0);
}

#[test]
fn all_problems_are_told_at_once() {
    let mut m = Model::new(&[1, 4, 4, 8]);
    let axis = m.tensor(&[1], Data::Ints(vec![3]));
    let a = m.push(56, &[0, axis], &[1, 4, 4], &[]);
    let b = m.push(16, &[a], &[1, 4], &[]);
    m.push(32, &[b], &[1, 4], &[]);
    let problems = compile(&m.bytes(), &Options::default(), &mut |_, _, _| {}).err().unwrap();
    let operators: Vec<&str> = problems.iter().map(|p| p.operator.as_str()).collect();
    assert_eq!(operators, ["ARG_MAX", "LSTM", "CUSTOM"]);
    assert!(
        problems[0].to_string().contains("[1, 4, 4, 8]") && problems[0].advice.contains("script")
    );
}

/// The end of a MobileNet whose images have become 3x3: mean and dense layer stay in KPU RAM.
#[test]
fn means_of_nine_pixels_stay_in_kpu_ram() {
    let mut random = Random(83);
    for (case, channels) in [34, 64, 100].into_iter().enumerate() {
        let mut m = Model::new(&[1, 3, 3, 8]);
        let weights = m.tensor(&[channels, 1, 1, 8], Data::Floats(random.list(8 * channels, 0.6)));
        let bias = m.tensor(&[channels], Data::Floats(random.list(channels, 0.5)));
        let conv = [(0, BYTE(0)), (1, INT(1)), (2, INT(1)), (3, BYTE(1))];
        let x = m.push(3, &[0, weights, bias], &[1, 3, 3, channels], &conv);
        let axes = m.tensor(&[2], Data::Ints(vec![1, 2]));
        let mean = m.push(40, &[x, axes], &[1, channels], &[]);
        let weights = m.tensor(&[32, channels], Data::Floats(random.list(32 * channels, 0.3)));
        let bias = m.tensor(&[32], Data::Floats(random.list(32, 0.5)));
        m.push(9, &[mean, weights, bias], &[1, 32], &[]);
        let report = check(&format!("mean_{case}"), &m, 35.0);
        assert_eq!((rows(&report, "reduce"), rows(&report, "KPU upload")), (0, 1), "{report}");
    }
}

/// A network whose every layer magnifies differences: as many layers as needed stay in float.
#[test]
fn what_bytes_would_spoil_stays_in_float() {
    let mut random = Random(91);
    let shape = [1, 8, 8, 6];
    let mut m = Model::new(&shape);
    let mut x = 0;
    for _ in 0..9 {
        let weights = m.tensor(&[6, 1, 1, 6], Data::Floats(random.list(36, 2.5)));
        let bias = m.tensor(&[6], Data::Floats(random.list(6, 0.5)));
        x = m.push(3, &[x, weights, bias], &shape, &[(0, BYTE(0)), (1, INT(1)), (2, INT(1))]);
        // sin
        x = m.push(66, &[x], &shape, &[]);
    }
    let graph = import::import(&m.bytes(), InputFormat::Tflite, None).unwrap().graph;
    let bytes =
        |v: Vec<f32>| v.into_iter().map(|v| ((v + 2.0) / 4.0 * 255.0).round() / 255.0 * 4.0 - 2.0);
    let samples: Vec<Vec<f32>> = (0..4).map(|_| bytes(random.list(384, 2.0)).collect()).collect();
    let data = common::write_raw("magnifies", &samples);
    let cosine_of = |float_fallback: bool| {
        let options =
            Options { float_fallback, input_range: Some((-2.0, 2.0)), ..common::raw(data.clone()) };
        let compiled = compile(&m.bytes(), &options, &mut |_, _, _| {}).unwrap();
        let again = compile(&m.bytes(), &options, &mut |_, _, _| {}).unwrap();
        assert_eq!(compiled.kmodel, again.kmodel);
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        for sample in &samples {
            expected.extend_from_slice(&eval::run(&graph, &[sample], &mut |_, _| {})[0]);
            let found = outputs(&compiled.kmodel, std::slice::from_ref(sample), (-2.0, 2.0));
            got.extend(found.unwrap().remove(0));
        }
        (likeness(&expected, &got).cosine, compiled.report)
    };
    let (cosine, report) = cosine_of(false);
    assert!(cosine < 0.95 && rows(&report, "conv2d") == 0, "{cosine}\n{report}");
    let (cosine, report) = cosine_of(true);
    assert!(cosine >= 0.99, "{cosine}\n{report}");
    // The last layers magnify too little to matter.
    assert!((1..9).contains(&rows(&report, "conv2d")), "{report}");
    assert!(report.warnings.iter().any(|w| w.contains("stay in float") && w.contains("ms more")));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let mut random = Random(61);
    let mut m = Model::new(&[1, 16, 16, 3]);
    let w = m.tensor(&[8, 3, 3, 3], Data::Floats(random.list(216, 0.5)));
    let b = m.tensor(&[8], Data::Floats(random.list(8, 0.5)));
    m.push(3, &[0, w, b], &[1, 16, 16, 8], &[(1, INT(1)), (2, INT(1))]);
    let data = common::write_raw("same", &[random.list(768, 1.0), random.list(768, 1.0)]);
    let once =
        || compile(&m.bytes(), &common::raw(data.clone()), &mut |_, _, _| {}).unwrap().kmodel;
    assert_eq!(once(), once());
}
