//! ONNX models made here: each operator is read, compiled and run, in float and in bytes.

mod common;

use common::{Random, likeness, outputs};
use kmodel_compiler::{
    Options, compile, eval,
    graph::Graph,
    import::{self, InputFormat, onnx_proto as onnx},
    options::ElementType,
};
use prost::Message;

fn tensor(name: &str, dims: &[usize], data: &[f32]) -> onnx::Tensor {
    onnx::Tensor {
        name: name.into(),
        dims: dims.iter().map(|&d| d as i64).collect(),
        data_type: 1,
        raw_data: data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    }
}

fn integers(name: &str, data: &[i64]) -> onnx::Tensor {
    onnx::Tensor {
        name: name.into(),
        dims: vec![data.len() as i64],
        data_type: 7,
        int64_data: data.to_vec(),
        ..Default::default()
    }
}

fn ints(name: &str, ints: &[i64]) -> onnx::Attribute {
    onnx::Attribute { name: name.into(), ints: ints.to_vec(), r#type: 7, ..Default::default() }
}

fn int(name: &str, i: i64) -> onnx::Attribute {
    onnx::Attribute { name: name.into(), i, r#type: 2, ..Default::default() }
}

fn float(name: &str, f: f32) -> onnx::Attribute {
    onnx::Attribute { name: name.into(), f, r#type: 1, ..Default::default() }
}

fn word(name: &str, s: &str) -> onnx::Attribute {
    onnx::Attribute { name: name.into(), s: s.into(), r#type: 3, ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<onnx::Attribute>) -> onnx::Node {
    onnx::Node {
        op_type: op.into(),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn info(name: &str, shape: &[usize]) -> onnx::ValueInfo {
    let dim = shape
        .iter()
        .map(|&d| onnx::Dimension { dim_value: d as i64, ..Default::default() })
        .collect();
    let tensor_type =
        Some(onnx::TensorType { elem_type: 1, shape: Some(onnx::TensorShape { dim }) });
    onnx::ValueInfo { name: name.into(), r#type: Some(onnx::Type { tensor_type }) }
}

/// A model from `x` of the given shape to `y`.
fn model(
    opset: i64,
    shape: &[usize],
    node: Vec<onnx::Node>,
    initializer: Vec<onnx::Tensor>,
) -> Vec<u8> {
    let output = vec![onnx::ValueInfo { name: "y".into(), r#type: None }];
    let graph = onnx::Graph { node, initializer, input: vec![info("x", shape)], output };
    onnx::Model {
        ir_version: 8,
        opset_import: vec![onnx::OperatorSet { domain: String::new(), version: opset }],
        graph: Some(graph),
    }
    .encode_to_vec()
}

fn import(bytes: &[u8]) -> Graph {
    match import::import(bytes, InputFormat::Onnx, None) {
        Ok(imported) => imported.graph,
        Err(problems) => {
            panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>())
        }
    }
}

/// Runs the model as float and as uint8 kmodel and compares both with the float graph.
fn check(name: &str, bytes: &[u8], decibels: f64) -> Vec<f32> {
    common::keep_as_seed(&format!("onnx_{name}"), bytes);
    let graph = import(bytes);
    let count = graph.tensors[graph.inputs[0]].elements();
    let mut random = Random(0x1234_5678_9ABC);
    let samples: Vec<Vec<f32>> = (0..6).map(|_| random.list(count, 2.0)).collect();
    let data = common::write_raw(&format!("onnx_{name}"), &samples);
    let mut first = Vec::new();
    for inference_type in [ElementType::Float, ElementType::Uint8] {
        let options = Options { inference_type, ..common::raw(data.clone()) };
        let options = Options { input_range: Some((-2.0, 2.0)), ..options };
        let compiled = compile(bytes, &options, &mut |_, _, _| {}).unwrap_or_else(|p| {
            panic!("{name}: {}", p.iter().map(|p| format!("{p}\n")).collect::<String>())
        });
        let least = if inference_type == ElementType::Float { 80.0 } else { decibels };
        let (mut expected, mut got) = (Vec::new(), Vec::new());
        for sample in &samples {
            let wanted = eval::run(&graph, &[sample], &mut |_, _| {});
            if first.is_empty() {
                first = wanted[0].to_vec();
            }
            let found = outputs(&compiled.kmodel, std::slice::from_ref(sample), (-2.0, 2.0));
            expected.extend_from_slice(&wanted[0]);
            got.extend(found.unwrap_or_else(|e| panic!("{name}: {e}")).remove(0));
        }
        let likeness = likeness(&expected, &got);
        assert!(likeness.decibels >= least, "{name} {inference_type:?}: {likeness:?}");
    }
    first
}

/// An operator of one operand over an image.
fn plain(name: &str, op: &str, opset: i64, shape: &[usize], attributes: Vec<onnx::Attribute>) {
    check(name, &model(opset, shape, vec![node(op, &["x"], "y", attributes)], vec![]), 25.0);
}

#[test]
fn convolutions() {
    let mut random = Random(77);
    for case in 0..24 {
        let groups = random.pick(&[1, 1, 2, 4]);
        let (channels, outs) = (4 * random.whole(1, 3), 4 * random.whole(1, 4));
        let depthwise = case % 4 == 0;
        let groups = if depthwise { channels } else { groups };
        let outs = if depthwise { channels } else { outs };
        let kernel = random.pick(&[1usize, 3, 3, 5]);
        let (stride, dilation) = (random.pick(&[1, 1, 2]), random.pick(&[1, 1, 2]));
        let pad = random.whole(0, kernel / 2) as i64;
        let size = random.whole(10, 20);
        let weights = random.list(outs * channels / groups * kernel * kernel, 0.5);
        let bias = random.list(outs, 1.0);
        let attributes = vec![
            ints("strides", &[stride, stride]),
            ints("dilations", &[dilation, dilation]),
            ints("pads", &[pad, pad, pad, pad]),
            int("group", groups as i64),
        ];
        let bytes = model(
            13,
            &[1, channels, size, size + 2],
            vec![
                node("Conv", &["x", "w", "b"], "c", attributes),
                node("Relu", &["c"], "y", vec![]),
            ],
            vec![
                tensor("w", &[outs, channels / groups, kernel, kernel], &weights),
                tensor("b", &[outs], &bias),
            ],
        );
        check(&format!("conv_{case}"), &bytes, 30.0);
    }
}

#[test]
fn transposed_convolutions() {
    let mut random = Random(5);
    for (case, (stride, pad, extra, groups)) in
        [(2, 1, 1, 1), (2, 0, 0, 1), (1, 1, 0, 2), (3, 1, 2, 1)].into_iter().enumerate()
    {
        let weights = random.list(4 * 6 / groups * 9, 0.5);
        let attributes = vec![
            ints("strides", &[stride, stride]),
            ints("pads", &[pad; 4]),
            ints("output_padding", &[extra, extra]),
            int("group", groups as i64),
        ];
        let bytes = model(
            11,
            &[1, 4, 5, 6],
            vec![node("ConvTranspose", &["x", "w", "b"], "y", attributes)],
            vec![
                tensor("w", &[4, 6 / groups, 3, 3], &weights),
                tensor("b", &[6], &random.list(6, 1.0)),
            ],
        );
        let y = check(&format!("transposed_{case}"), &bytes, 30.0);
        let size = |n: i64| (stride * (n - 1) + extra + 3 - 2 * pad) as usize;
        assert_eq!(y.len(), 6 * size(5) * size(6));
    }
}

#[test]
fn a_transposed_convolution_by_hand() {
    // One pixel of 2 spreads the kernel; step 2 and no border.
    let bytes = model(
        11,
        &[1, 1, 1, 2],
        vec![node("ConvTranspose", &["x", "w"], "y", vec![ints("strides", &[2, 2])])],
        vec![tensor("w", &[1, 1, 1, 3], &[1.0, 10.0, 100.0])],
    );
    let y = eval::run(&import(&bytes), &[&[2.0, 3.0]], &mut |_, _| {});
    assert_eq!(*y[0], [2.0, 20.0, 203.0, 30.0, 300.0]);
}

#[test]
fn functions() {
    let shape = &[1, 8, 6, 6];
    for op in [
        "Relu",
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "HardSigmoid",
        "Softplus",
        "Softsign",
        "Elu",
        "Selu",
        "LeakyRelu",
        "Mish",
        "Gelu",
        "Abs",
        "Neg",
        "Exp",
        "Sin",
        "Cos",
    ] {
        plain(&format!("function_{op}"), op, 18, shape, vec![]);
    }
    plain("clip_6", "Clip", 6 + 1, shape, vec![float("min", -0.5), float("max", 1.0)]);
    let bounds = vec![tensor("low", &[], &[0.0]), tensor("high", &[], &[1.5])];
    let clip = vec![node("Clip", &["x", "low", "high"], "y", vec![])];
    check("clip_11", &model(11, shape, clip, bounds), 30.0);
    let slopes = Random(3).list(8, 0.5);
    let prelu = vec![node("PRelu", &["x", "s"], "y", vec![])];
    check("prelu", &model(13, shape, prelu, vec![tensor("s", &[8, 1, 1], &slopes)]), 30.0);
}

#[test]
fn normalizations() {
    let mut random = Random(11);
    let mut four: Vec<onnx::Tensor> =
        ["s", "o", "m"].iter().map(|n| tensor(n, &[8], &random.list(8, 1.0))).collect();
    let variance: Vec<f32> = random.list(8, 0.4).iter().map(|v| v + 0.5).collect();
    four.push(tensor("v", &[8], &variance));
    let batch = vec![node("BatchNormalization", &["x", "s", "o", "m", "v"], "y", vec![])];
    check("batch_norm", &model(15, &[1, 8, 6, 6], batch, four.clone()), 28.0);
    let instance = vec![node("InstanceNormalization", &["x", "s", "o"], "y", vec![])];
    check("instance_norm", &model(13, &[1, 8, 6, 6], instance, four), 28.0);
    plain("l2", "LpNormalization", 13, &[1, 8, 4, 4], vec![int("axis", 1)]);
    plain("softmax_13", "Softmax", 13, &[1, 8, 4, 4], vec![int("axis", 1)]);
    plain("softmax_11", "Softmax", 11, &[1, 8, 4, 4], vec![int("axis", 1)]);
    plain("log_softmax", "LogSoftmax", 13, &[1, 10], vec![]);
    plain("global_mean", "GlobalAveragePool", 13, &[1, 8, 7, 7], vec![]);
    plain("global_max", "GlobalMaxPool", 13, &[1, 8, 7, 7], vec![]);
    for op in ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"] {
        let attributes = if op == "ReduceSum" { vec![] } else { vec![ints("axes", &[2, 3])] };
        let inputs: &[&str] = if op == "ReduceSum" { &["x", "a"] } else { &["x"] };
        let nodes = vec![node(op, inputs, "y", attributes)];
        let bytes = model(13, &[1, 8, 6, 5], nodes, vec![integers("a", &[2, 3])]);
        check(&format!("reduce_{op}"), &bytes, 25.0);
    }
}

#[test]
fn pools() {
    let kernel = |k: i64, s: i64| vec![ints("kernel_shape", &[k, k]), ints("strides", &[s, s])];
    for op in ["MaxPool", "AveragePool"] {
        plain(&format!("{op}_2"), op, 12, &[1, 8, 12, 12], kernel(2, 2));
        let mut padded = kernel(3, 2);
        padded.push(ints("pads", &[1, 1, 1, 1]));
        plain(&format!("{op}_3"), op, 12, &[1, 8, 12, 12], padded.clone());
        padded.push(int("count_include_pad", 1));
        plain(&format!("{op}_include"), op, 12, &[1, 8, 12, 12], padded);
        let mut up = kernel(3, 2);
        up.push(int("ceil_mode", 1));
        plain(&format!("{op}_ceil"), op, 12, &[1, 8, 12, 12], up);
    }
}

#[test]
fn pools_by_hand() {
    let run = |attributes| {
        let bytes =
            model(12, &[1, 1, 1, 4], vec![node("AveragePool", &["x"], "y", attributes)], vec![]);
        eval::run(&import(&bytes), &[&[1.0, 2.0, 3.0, 7.0]], &mut |_, _| {})[0].to_vec()
    };
    let common = || vec![ints("kernel_shape", &[1, 3]), ints("strides", &[1, 2])];
    assert_eq!(run(common()), [2.0]);
    let with = |more: Vec<onnx::Attribute>| common().into_iter().chain(more).collect();
    assert_eq!(run(with(vec![int("ceil_mode", 1)])), [2.0, 5.0]);
    let pads = || ints("pads", &[0, 1, 0, 1]);
    assert_eq!(run(with(vec![pads()])), [1.5, 4.0]);
    assert_eq!(run(with(vec![pads(), int("count_include_pad", 1)])), [1.0, 4.0]);
}

#[test]
fn products_and_shapes() {
    let mut random = Random(21);
    let weights = random.list(48 * 10, 0.3);
    let bias = random.list(10, 0.3);
    let gemm = vec![
        node("Flatten", &["x"], "f", vec![]),
        node("Gemm", &["f", "w", "b"], "y", vec![int("transB", 1)]),
    ];
    let constants = vec![tensor("w", &[10, 48], &weights), tensor("b", &[10], &bias)];
    check("gemm", &model(13, &[1, 3, 4, 4], gemm, constants), 30.0);
    let matmul =
        vec![node("MatMul", &["x", "w"], "m", vec![]), node("Add", &["m", "b"], "y", vec![])];
    let constants = vec![tensor("w", &[48, 10], &weights), tensor("b", &[10], &bias)];
    check("matmul", &model(13, &[1, 48], matmul, constants), 30.0);
    // PyTorch's x.view(x.size(0), -1)
    let view = vec![
        node("Shape", &["x"], "s", vec![]),
        node("Gather", &["s", "zero"], "n", vec![int("axis", 0)]),
        node("Unsqueeze", &["n", "axes"], "u", vec![]),
        node("Concat", &["u", "rest"], "c", vec![int("axis", 0)]),
        node("Reshape", &["x", "c"], "y", vec![]),
    ];
    let mut zero = integers("zero", &[0]);
    zero.dims.clear();
    let bytes =
        model(13, &[1, 3, 4, 4], view, vec![zero, integers("axes", &[0]), integers("rest", &[-1])]);
    let graph = import(&bytes);
    assert_eq!(graph.shape(graph.outputs[0]), [1, 48]);
    assert_eq!(graph.nodes.len(), 1, "the chain vanishes");
    plain("transpose", "Transpose", 13, &[1, 3, 4, 5], vec![ints("perm", &[0, 2, 3, 1])]);
    plain(
        "depth",
        "DepthToSpace",
        13,
        &[1, 12, 4, 4],
        vec![int("blocksize", 2), word("mode", "CRD")],
    );
    plain("space", "SpaceToDepth", 13, &[1, 3, 4, 4], vec![int("blocksize", 2)]);
    let cut = vec![node("Slice", &["x", "from", "to", "axes", "steps"], "y", vec![])];
    let numbers = vec![
        integers("from", &[1, -1]),
        integers("to", &[4, -9999]),
        integers("axes", &[2, 3]),
        integers("steps", &[2, -1]),
    ];
    check("slice", &model(13, &[1, 4, 6, 5], cut, numbers), 30.0);
    let border = vec![node("Pad", &["x", "pads"], "y", vec![word("mode", "reflect")])];
    check(
        "pad",
        &model(13, &[1, 4, 6, 6], border, vec![integers("pads", &[0, 0, 1, 2, 0, 0, 2, 1])]),
        30.0,
    );
}

#[test]
fn depth_to_space_by_hand() {
    let run = |mode| {
        let attributes = vec![int("blocksize", 2), word("mode", mode)];
        let bytes =
            model(13, &[1, 8, 1, 1], vec![node("DepthToSpace", &["x"], "y", attributes)], vec![]);
        let x: Vec<f32> = (0..8u8).map(f32::from).collect();
        eval::run(&import(&bytes), &[&x], &mut |_, _| {})[0].to_vec()
    };
    assert_eq!(run("DCR"), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    assert_eq!(run("CRD"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn resizes() {
    for (name, mode, coordinates, nearest) in [
        ("linear_half", "linear", "half_pixel", "floor"),
        ("linear_corners", "linear", "align_corners", "floor"),
        ("linear_plain", "linear", "asymmetric", "floor"),
        ("nearest_plain", "nearest", "asymmetric", "floor"),
        ("nearest_half", "nearest", "half_pixel", "round_prefer_floor"),
    ] {
        for scale in [2.0, 3.0] {
            let attributes = vec![
                word("mode", mode),
                word("coordinate_transformation_mode", coordinates),
                word("nearest_mode", nearest),
            ];
            let nodes = vec![node("Resize", &["x", "", "s"], "y", attributes)];
            let scales = vec![tensor("s", &[4], &[1.0, 1.0, scale, scale])];
            check(&format!("{name}_{scale}"), &model(13, &[1, 4, 5, 6], nodes, scales), 28.0);
        }
    }
    // The standard's own example: 2x2 to 4x4, linear, half pixels.
    let nodes = vec![node("Resize", &["x", "", "s"], "y", vec![word("mode", "linear")])];
    let bytes = model(13, &[1, 1, 2, 2], nodes, vec![tensor("s", &[4], &[1.0, 1.0, 2.0, 2.0])]);
    let y = eval::run(&import(&bytes), &[&[1.0, 2.0, 3.0, 4.0]], &mut |_, _| {});
    assert_eq!(y[0][..8], [1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5]);
}

#[test]
fn external_data_lies_beside_the_model() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("onnx_external");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("weights.bin"), [0u8, 0, 0, 0, 0, 0, 0x40, 0x40]).unwrap();
    let entry = |key: &str, value: &str| onnx::Entry { key: key.into(), value: value.into() };
    let weights = |location: &str| onnx::Tensor {
        raw_data: vec![],
        data_location: 1,
        external_data: vec![
            entry("location", location),
            entry("offset", "4"),
            entry("length", "4"),
        ],
        ..tensor("w", &[1], &[0.0])
    };
    let bytes = |location| {
        model(13, &[1, 2], vec![node("Mul", &["x", "w"], "y", vec![])], vec![weights(location)])
    };
    let imported = import::import(&bytes("weights.bin"), InputFormat::Onnx, Some(&folder)).unwrap();
    let y = eval::run(&imported.graph, &[&[1.0, 2.0]], &mut |_, _| {});
    assert_eq!(*y[0], [3.0, 6.0]);
    for location in ["../weights.bin", "/etc/hostname", "missing.bin", ""] {
        let problems =
            import::import(&bytes(location), InputFormat::Onnx, Some(&folder)).err().unwrap();
        assert!(problems[0].to_string().contains("beside the .onnx file"), "{}", problems[0]);
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let nodes = vec![
        node("ArgMax", &["x"], "a", vec![]),
        node("LSTM", &["x"], "b", vec![]),
        node("NonMaxSuppression", &["a"], "c", vec![]),
        node("Relu", &["c"], "y", vec![]),
    ];
    let problems =
        import::import(&model(13, &[1, 4], nodes, vec![]), InputFormat::Onnx, None).err().unwrap();
    let operators: Vec<&str> = problems.iter().map(|p| p.operator.as_str()).collect();
    assert_eq!(operators, ["ArgMax", "LSTM", "NonMaxSuppression"]);
    assert!(problems[0].advice.contains("kpu.forward"));
}

#[test]
fn operator_sets_have_bounds() {
    let relu = || vec![node("Relu", &["x"], "y", vec![])];
    let imported =
        import::import(&model(21, &[1, 4], relu(), vec![]), InputFormat::Onnx, None).unwrap();
    assert!(imported.warnings[0].contains("newer than 18"));
    let problems =
        import::import(&model(6, &[1, 4], relu(), vec![]), InputFormat::Onnx, None).err().unwrap();
    assert!(problems[0].to_string().contains("opset_version=13"));
}

/// The field numbers, by a file written byte by byte.
#[test]
fn a_file_from_its_bytes() {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }
    let dim = |d: u8| field(1, &[0x08, d]);
    let shape = field(2, &[dim(1), dim(4)].concat());
    let kind = field(2, &field(1, &[&[0x08, 1][..], &shape].concat()));
    let input = field(11, &[field(1, b"x"), kind].concat());
    let output = field(12, &field(1, b"y"));
    let alpha =
        field(5, &[&field(1, b"alpha")[..], &[0x15, 0, 0, 0x80, 0x3E], &[0xA0, 0x01, 1]].concat());
    let node = field(1, &[field(1, b"x"), field(2, b"y"), field(4, b"LeakyRelu"), alpha].concat());
    let graph = field(7, &[node, input, output].concat());
    let opset = field(8, &[0x10, 13]);
    let file = [&[0x08, 8][..], &graph, &opset].concat();
    assert_eq!(InputFormat::detect(&file), Some(InputFormat::Onnx));
    let y = eval::run(&import(&file), &[&[-4.0, -1.0, 0.0, 2.0]], &mut |_, _| {});
    assert_eq!(*y[0], [-1.0, -0.25, 0.0, 2.0]);
}
