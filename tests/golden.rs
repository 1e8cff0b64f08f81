//! Every real model loads and gives its recorded outputs on every recorded input.

mod common;
#[path = "common/golden.rs"]
mod recorded;

use maix_kpu::{
    error::Result,
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Node},
    session::{
        Requirements, Session,
        trace::{Trace, Written},
    },
    tensor::Dtype,
};
use recorded::{Case, cases, manifest};
use serde_json::Value;

/// The CRC of what each node wrote.
#[derive(Default)]
struct Crcs(Vec<(&'static str, u32)>);

impl Trace for Crcs {
    fn end(&mut self, node: &Node, mut result: Written<'_>) -> Result<()> {
        self.0.push((node.name(), result.crc()?));
        Ok(())
    }
}

/// How far an output is from the recorded one.
struct Difference {
    relative: f32,
    values: usize,
}

fn difference(dtype: Dtype, got: &[u8], expected: &[u8]) -> Difference {
    assert_eq!(got.len(), expected.len());
    let pairs: Vec<(f32, f32)> = match dtype {
        Dtype::U8 => got.iter().zip(expected).map(|(&g, &e)| (g.into(), e.into())).collect(),
        Dtype::F32 => {
            let floats = |bytes: &[u8]| -> Vec<f32> {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
            };
            floats(got).into_iter().zip(floats(expected)).collect()
        }
    };
    let largest = pairs.iter().fold(f32::MIN_POSITIVE, |m, p| m.max(p.1.abs()));
    let apart = pairs.iter().filter(|(g, e)| g.to_bits() != e.to_bits());
    Difference {
        relative: pairs.iter().fold(0.0, |m: f32, (g, e)| m.max((g - e).abs())) / largest,
        values: apart.count(),
    }
}

/// Runs a case; gives what is wrong with it.
fn run(case: &Case) -> std::result::Result<String, String> {
    let source = &&case.model[..];
    let model = Model::open(source).map_err(|e| e.to_string())?;
    let required = Requirements::of(&model, source).map_err(|e| e.to_string())?;
    let mut memory = vec![0; required.bytes()];
    let mut session = Session::new(model, source, &mut memory).map_err(|e| e.to_string())?;
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch).map_err(|e| e.to_string())?;
    let mut crcs = Crcs::default();
    session
        .forward_traced(&mut simulator, &[Input::Raw(&case.input)], &mut crcs)
        .map_err(|e| e.to_string())?;

    let mut report = String::new();
    for (index, expected) in case.outputs.iter().enumerate() {
        let output = session.output(index as u32).map_err(|e| e.to_string())?;
        let got = session.output_bytes(index as u32).map_err(|e| e.to_string())?;
        let difference = difference(output.dtype, got, expected);
        let limit = if output.dtype == Dtype::U8 { 0.0 } else { 1e-5 };
        if difference.relative > limit || difference.relative.is_nan() {
            return Err(format!(
                "output {index} differs by {:e} of its largest value; {}",
                difference.relative,
                first_difference(&crcs.0, &case.trace)
            ));
        }
        report += &format!(" {}({:.0e})", difference.values, difference.relative);
    }
    check_trace(&crcs.0, &case.trace)?;
    Ok(report)
}

/// Whether a node's sums or functions of floats may round otherwise than the recorded ones.
fn is_inexact(name: &str) -> bool {
    [
        "conv2d",
        "matmul",
        "fully connected",
        "reduce",
        "softmax",
        "logistic",
        "unary",
        "nnil unary",
        "L2 normalize",
        "average pool",
        "global average pool",
        "conv2d transpose",
        "reduce window",
    ]
    .contains(&name)
}

/// Nodes before the first inexact one must match bit for bit.
fn check_trace(crcs: &[(&str, u32)], trace: &[Option<u32>]) -> std::result::Result<(), String> {
    let exact = crcs.iter().position(|(name, _)| is_inexact(name)).unwrap_or(crcs.len());
    if crcs.len() != trace.len() {
        return Err(format!("{} nodes ran, {} are recorded", crcs.len(), trace.len()));
    }
    for (index, ((name, crc), recorded)) in crcs.iter().zip(trace).take(exact).enumerate() {
        if recorded.is_some_and(|recorded| recorded != *crc) {
            return Err(format!("node {index} ({name}) writes other bytes than recorded"));
        }
    }
    Ok(())
}

fn first_difference(crcs: &[(&str, u32)], trace: &[Option<u32>]) -> String {
    let differs = |(_, ((_, crc), recorded)): &(usize, (&(&str, u32), &Option<u32>))| {
        recorded.is_some_and(|recorded| recorded != *crc)
    };
    match crcs.iter().zip(trace).enumerate().find(differs) {
        Some((index, ((name, _), _))) => format!("first at node {index}, {name}"),
        None => "no node differs".into(),
    }
}

#[test]
fn real_models_give_their_recorded_outputs() {
    let Some(cases) = cases(&["v3_", "v4_"]) else { return };
    let mut failures = Vec::new();
    let mut passed = 0;
    for case in &cases {
        match run(case) {
            Ok(report) => {
                passed += 1;
                println!("{}: {report}", case.name);
            }
            Err(what) => failures.push(format!("{}: {what}", case.name)),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert_eq!(passed, 136);
}

fn shape(value: &Value) -> Option<Vec<usize>> {
    value.as_array().map(|dims| dims.iter().map(|d| d.as_u64().unwrap() as usize).collect())
}

#[test]
fn real_models_load() {
    let Some(golden) = common::testdata("golden") else { return };
    let mut loaded = 0;
    for (name, entry) in &manifest(&golden) {
        if !(name.starts_with("v3_") || name.starts_with("v4_")) {
            continue;
        }
        let bytes = std::fs::read(golden.join(entry["file"].as_str().unwrap())).unwrap();
        let source = &&bytes[..];
        let model = Model::open(source).unwrap_or_else(|e| panic!("{name}: {e}"));
        let nodes: Vec<_> = model.nodes(source).collect::<Result<_, _>>().unwrap();
        assert_eq!(nodes.len(), entry["nodes"].as_array().unwrap().len(), "{name}");
        let input = model.input(source, 0).unwrap();
        if let Some(expected) = shape(&entry["inputs"][0]["shape"]) {
            let elements = expected.iter().product::<usize>();
            assert_eq!(input.elements(), elements, "{name}");
            if input.dtype == Dtype::U8 {
                assert_eq!(input.shape.to_vec(), expected, "{name}");
            }
        }
        for (index, expected) in entry["outputs"].as_array().unwrap().iter().enumerate() {
            let output = model.output(source, index as u32).unwrap();
            assert_eq!(output.bytes() as u64, expected["size"].as_u64().unwrap(), "{name} {index}");
            assert_eq!(output.dtype.name(), expected["dtype"].as_str().unwrap(), "{name} {index}");
            println!("{name} output {index}: {:?} {:?}", output.dtype, output.shape);
        }
        loaded += 1;
    }
    assert_eq!(loaded, 38);
}
