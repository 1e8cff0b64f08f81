//! Damaged model files are refused or compiled, never a panic.

mod common;

use common::{
    Random,
    tflite::{Data, Field, Model},
};
use kmodel_compiler::{
    Options, compile,
    import::{InputFormat, onnx_proto as onnx},
    options::ElementType,
};
use prost::Message;

/// A network of a few operators.
fn tflite() -> Vec<u8> {
    let mut random = Random(7);
    let mut m = Model::new(&[1, 8, 8, 3]);
    let w = m.tensor(&[4, 3, 3, 3], Data::Floats(random.list(108, 1.0)));
    let b = m.tensor(&[4], Data::Floats(random.list(4, 1.0)));
    let one = Field::Int(1);
    let y = m.push(3, &[0, w, b], &[1, 8, 8, 4], &[(1, one), (2, one), (3, Field::Byte(1))]);
    let two = Field::Int(2);
    let y = m.push(17, &[y], &[1, 4, 4, 4], &[(1, two), (2, two), (3, two), (4, two)]);
    let size = m.tensor(&[2], Data::Ints(vec![8, 8]));
    let y = m.push(97, &[y, size], &[1, 8, 8, 4], &[]);
    let pads = m.tensor(&[4, 2], Data::Ints(vec![0, 0, 1, 1, 1, 1, 0, 0]));
    let y = m.push(34, &[y, pads], &[1, 10, 10, 4], &[]);
    let wanted = m.tensor(&[2], Data::Ints(vec![1, -1]));
    m.push(22, &[y, wanted], &[1, 400], &[]);
    m.bytes()
}

fn onnx() -> Vec<u8> {
    let ints = |name: &str, ints: &[i64]| onnx::Attribute {
        name: name.into(),
        ints: ints.to_vec(),
        ..Default::default()
    };
    let node =
        |op: &str, input: &[&str], output: &str, attribute: Vec<onnx::Attribute>| onnx::Node {
            op_type: op.into(),
            input: input.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        };
    let tensor = |name: &str, dims: &[i64], n: usize| onnx::Tensor {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: Random(3).list(n, 1.0).iter().flat_map(|v| v.to_le_bytes()).collect(),
        ..Default::default()
    };
    let shape = onnx::Tensor {
        name: "s".into(),
        dims: vec![2],
        data_type: 7,
        int64_data: vec![0, -1],
        ..Default::default()
    };
    let dim = [1, 3, 8, 8].map(|d| onnx::Dimension { dim_value: d, ..Default::default() }).to_vec();
    let tensor_type =
        Some(onnx::TensorType { elem_type: 1, shape: Some(onnx::TensorShape { dim }) });
    let graph = onnx::Graph {
        node: vec![
            node(
                "Conv",
                &["x", "w"],
                "c",
                vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])],
            ),
            node("Relu", &["c"], "r", vec![]),
            node(
                "MaxPool",
                &["r"],
                "p",
                vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])],
            ),
            node("Reshape", &["p", "s"], "f", vec![]),
            node("Gemm", &["f", "g"], "y", vec![]),
        ],
        initializer: vec![tensor("w", &[4, 3, 3, 3], 108), tensor("g", &[16, 5], 80), shape],
        input: vec![onnx::ValueInfo { name: "x".into(), r#type: Some(onnx::Type { tensor_type }) }],
        output: vec![onnx::ValueInfo { name: "y".into(), r#type: None }],
    };
    let opset_import = vec![onnx::OperatorSet { domain: String::new(), version: 13 }];
    onnx::Model { ir_version: 8, opset_import, graph: Some(graph) }.encode_to_vec()
}

fn survives(format: InputFormat, bytes: &[u8], seed: u64) {
    let options = Options {
        input_format: Some(format),
        inference_type: ElementType::Float,
        ..Options::default()
    };
    assert!(compile(bytes, &options, &mut |_, _, _| {}).is_ok(), "whole, it compiles");
    for length in 0..bytes.len() {
        compile(&bytes[..length], &options, &mut |_, _, _| {}).ok();
    }
    let mut random = Random(seed);
    for _ in 0..4000 {
        let mut damaged = bytes.to_vec();
        for _ in 0..random.whole(1, 4) {
            let at = random.whole(0, damaged.len() - 1);
            damaged[at] = match random.whole(0, 3) {
                0 => 0,
                1 => 0xFF,
                2 => damaged[at] ^ 1 << random.whole(0, 7),
                _ => random.whole(0, 255) as u8,
            };
        }
        compile(&damaged, &options, &mut |_, _, _| {}).ok();
    }
}

/// What the fuzzer found; each is refused as damaged, with a reason.
#[test]
fn contradictions_are_refused() {
    let transposed = |stride: i32, size: i32| {
        let mut m = Model::new(&[1, 4, 4, 2]);
        let shape = m.tensor(&[4], Data::Ints(vec![1, size, size, 1]));
        let w = m.tensor(&[1, 3, 3, 2], Data::Floats(vec![0.5; 18]));
        let side = size as usize;
        let step = Field::Int(stride);
        m.push(67, &[shape, w, 0], &[1, side, side, 1], &[(1, step), (2, step)]);
        m.bytes()
    };
    let compiled = |model: &[u8]| {
        let options = Options { inference_type: ElementType::Float, ..Options::default() };
        compile(model, &options, &mut |_, _, _| {})
    };
    assert!(compiled(&transposed(2, 9)).is_ok());
    let mut scalar = Model::new(&[]);
    scalar.push(11, &[0], &[], &[]);
    for (model, why) in [
        (transposed(2, 11), "has no result of [11, 11] pixels"),
        (transposed(0x0C00_0000, 9), "more than 16384 pixels"),
        (scalar.bytes(), "axis 0 of a tensor of rank 0"),
    ] {
        let problems = compiled(&model).err().expect("a contradiction");
        assert!(problems[0].why.contains(why), "{}", problems[0]);
    }
}

#[test]
fn tensorflow_lite() {
    survives(InputFormat::Tflite, &tflite(), 11);
}

#[test]
fn onnx_files() {
    survives(InputFormat::Onnx, &onnx(), 13);
}
