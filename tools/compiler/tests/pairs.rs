//! Real models, each with the kmodel that nncase made of it: ours are as near to the float model.

mod common;

use std::path::Path;

use common::{Likeness, likeness, litert, outputs, picture, testdata};
use kmodel_compiler::{
    Options, compile, eval,
    graph::Graph,
    import::{self, InputFormat},
    options::ElementType,
};
use serde_json::Value;

/// Inputs that are made where a model comes without pictures.
const SEEDED: u64 = 8;

struct Pair {
    name: String,
    graph: Graph,
    tflite: Vec<u8>,
    theirs: Vec<u8>,
    range: (f32, f32),
    inputs: Vec<Vec<f32>>,
}

fn read(folder: &Path, name: &str, entry: &Value) -> Pair {
    let folder = folder.join(name);
    let tflite = std::fs::read(folder.join("model.tflite")).unwrap();
    let graph = import::import(&tflite, InputFormat::Tflite, None).unwrap().graph;
    let shape = graph.shape(graph.inputs[0]).to_vec();
    let range = if entry["input_range"].as_str().unwrap().starts_with("0..255") {
        (0.0, 255.0)
    } else {
        (0.0, 1.0)
    };
    let mut pictures: Vec<_> = std::fs::read_dir(folder.join("calib"))
        .map(|files| files.map(|f| f.unwrap().path()).collect())
        .unwrap_or_default();
    pictures.retain(|p| p.extension().is_some_and(|e| e != "py"));
    pictures.sort();
    let planes: Vec<Vec<f32>> = if pictures.is_empty() {
        let shape = if shape.len() == 4 { shape } else { vec![1, 1, 1, shape.iter().product()] };
        let bytes = |p: Vec<f32>| p.into_iter().map(|v| (v * 255.0).round() / 255.0).collect();
        (1..=SEEDED).map(|seed| bytes(picture(&shape, seed))).collect()
    } else {
        pictures
            .iter()
            .map(|p| kmodel_compiler::dataset::planes(&image::open(p).unwrap(), &shape))
            .collect()
    };
    let inputs = planes
        .into_iter()
        .map(|p| p.into_iter().map(|v| range.0 + v * (range.1 - range.0)).collect())
        .collect();
    let theirs = std::fs::read(folder.join("model.kmodel")).unwrap();
    Pair { name: name.into(), graph, tflite, theirs, range, inputs }
}

/// Each output, over all inputs together, of `answers`: all outputs of an input one behind the other.
fn by_output(graph: &Graph, answers: &[f32]) -> Vec<Vec<f32>> {
    let sizes: Vec<usize> =
        graph.outputs.iter().map(|&id| graph.shape(id).iter().product()).collect();
    let mut outputs = vec![Vec::new(); sizes.len()];
    for mut answer in answers.chunks_exact(sizes.iter().sum()) {
        for (output, &size) in outputs.iter_mut().zip(&sizes) {
            output.extend_from_slice(answer.split_off(..size).expect("as long as all outputs"));
        }
    }
    outputs
}

/// What the float model answers to all inputs, by our evaluator.
fn evaluated(pair: &Pair) -> Vec<f32> {
    let run = |input| eval::run(&pair.graph, &[input], &mut |_, _| {});
    pair.inputs.iter().flat_map(|input| run(input)).flat_map(|output| output.to_vec()).collect()
}

/// Likeness of each output of a kmodel, over all inputs together.
fn compare(
    pair: &Pair,
    expected: &[f32],
    kmodel: &[u8],
) -> Result<Vec<Likeness>, maix_kpu::error::Error> {
    let mut got = Vec::new();
    for input in &pair.inputs {
        got.extend(outputs(kmodel, std::slice::from_ref(input), pair.range)?.concat());
    }
    let [expected, got] = [expected, &got].map(|answers| by_output(&pair.graph, answers));
    Ok(expected.iter().zip(&got).map(|(e, g)| likeness(e, g)).collect())
}

fn our_kmodel(pair: &Pair, float: bool) -> (Vec<u8>, Vec<String>) {
    let dataset = common::write_raw(&format!("pair_{}", pair.name), &pair.inputs);
    let options = Options {
        inference_type: if float { ElementType::Float } else { ElementType::Uint8 },
        input_range: (pair.graph.shape(pair.graph.inputs[0]).len() == 4).then_some(pair.range),
        ..common::raw(dataset)
    };
    let compiled = compile(&pair.tflite, &options, &mut |_, _, _| {}).unwrap_or_else(|problems| {
        panic!("{}: {}", pair.name, problems.iter().map(ToString::to_string).collect::<String>())
    });
    (compiled.kmodel, compiled.report.warnings)
}

#[test]
fn as_near_to_the_float_model_as_nncase() {
    let Some(folder) = testdata("pairs") else { return };
    let python = litert::python();
    let index: serde_json::Map<String, Value> =
        serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let mut table = String::from(
        "| model | type | output | cosine | largest difference | dB | nncase: cosine | dB |\n|---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut float_table = String::from(
        "| model | largest value | cosine | largest difference | dB | between LiteRT's kernels |\n|---|--:|--:|--:|--:|--:|\n",
    );
    let mut failures = Vec::new();
    for (name, entry) in &index {
        let pair = read(&folder, name, entry);
        let mut expected = evaluated(&pair);
        if let Some(python) = &python {
            let reference = litert::Reference::of(python, name, &pair.tflite, &pair.inputs);
            let Likeness { cosine, largest, decibels } = likeness(&reference.answers, &expected);
            if largest > reference.tolerance() {
                failures.push(format!("{name}: the evaluator is {largest} from LiteRT"));
            }
            float_table += &format!(
                "| {name} | {:.1} | {cosine:.7} | {largest:.1e} | {decibels:.1} | {:.1e} |\n",
                reference.answers.iter().fold(0.0, |m: f32, v| v.abs().max(m)),
                reference.between_kernels
            );
            expected = reference.answers;
        }
        let float = entry["inference_type"] == "float";
        let (kmodel, warnings) = our_kmodel(&pair, float);
        // The network magnifies what bytes round off; most of it has to be in float.
        let falls_back = warnings.iter().any(|w| w.contains("stay in float"));
        assert_eq!(falls_back, name == "seg_033", "{name}: {warnings:?}");
        let kind = if float { "float" } else { "uint8" };
        let ours = compare(&pair, &expected, &kmodel).unwrap();
        let theirs = compare(&pair, &expected, &pair.theirs);
        for (i, o) in ours.iter().enumerate() {
            let (their_cosine, their_decibels) = match &theirs {
                Ok(t) => (format!("{:.5}", t[i].cosine), format!("{:.1}", t[i].decibels)),
                Err(e) => (format!("{e}"), String::new()),
            };
            table += &format!(
                "| {name} | {kind} | {i} | {:.5} | {:.4} | {:.1} | {their_cosine} | {their_decibels} |\n",
                o.cosine, o.largest, o.decibels,
            );
            let least = theirs.as_ref().map_or(0.99, |t| (t[i].cosine - 1e-4).max(0.99));
            if o.cosine < least {
                failures.push(format!("{name} output {i}: {} < {least}", o.cosine));
            }
        }
    }
    println!("{table}\n{float_table}");
    if python.is_some() {
        common::update_docs("pairs", &table);
        common::update_docs("litert", &float_table);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
