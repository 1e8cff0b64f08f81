//! Models of others: trained ones that packages hold (`make registry-models` fetches them), and graphs as
//! tf.keras and PyTorch export them (`make exported-graphs`). Each compiles and stays near the float model,
//! or is refused with advice for each operator.

mod common;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use common::{Likeness, Random, against_float, likeness, litert, outputs, picture, target};
use kmodel_compiler::{
    Options, Problem, compile, eval,
    graph::Graph,
    import::{self, InputFormat},
    options::ElementType,
};

const SAMPLES: u64 = 3;

/// Made pictures of 0..1, or random numbers for a model that takes none.
fn inputs(graph: &Graph) -> Vec<Vec<f32>> {
    let shapes: Vec<&[usize]> = graph.inputs.iter().map(|&id| graph.shape(id)).collect();
    (1..=SAMPLES)
        .map(|seed| match shapes[..] {
            [shape] if shape.len() == 4 => picture(shape, seed),
            _ => Random(seed).list(shapes.iter().map(|s| s.iter().product::<usize>()).sum(), 1.0),
        })
        .collect()
}

/// All outputs of the float model, one behind the other, sample after sample.
fn expected(graph: &Graph, samples: &[Vec<f32>]) -> Vec<f32> {
    samples
        .iter()
        .flat_map(|sample| eval::run(graph, &[sample], &mut |_, _| {}))
        .flat_map(|output| output.to_vec())
        .collect()
}

/// How near the kmodel is to the float model.
fn measured(
    name: &str,
    model: &[u8],
    inference_type: ElementType,
    samples: &[Vec<f32>],
    expected: &[f32],
) -> Result<Likeness, Vec<Problem>> {
    let data = common::write_raw(&format!("registry_{name}"), samples);
    let options = Options {
        inference_type,
        input_range: Some((0.0, 1.0)),
        float_fallback: false,
        max_allocator_solve_secs: 1,
        ..common::raw(data)
    };
    let kmodel = compile(model, &options, &mut |_, _, _| {})?.kmodel;
    let found = samples.iter().flat_map(|sample| {
        outputs(&kmodel, std::slice::from_ref(sample), (0.0, 1.0)).unwrap().into_iter().flatten()
    });
    Ok(likeness(expected, &found.collect::<Vec<f32>>()))
}

/// The row of a model that is refused; each problem says why and what to do.
fn refused(problems: &[Problem]) -> String {
    let mut operators: Vec<&str> = problems.iter().map(|p| p.operator.as_str()).collect();
    operators.sort_unstable();
    operators.dedup();
    for problem in problems {
        assert!(!problem.why.is_empty() && !problem.advice.is_empty(), "{problem}");
        assert_ne!(problem.advice, kmodel_compiler::REPORT, "{problem}");
    }
    match operators[..] {
        [""] => format!("refused: {} |  |  |  |  |", problems[0].why),
        _ => format!("refused: {} |  |  |  |  |", operators.join(", ")),
    }
}

/// The models in a folder of target/.
fn models(folder: &str, make: &str) -> Vec<PathBuf> {
    let folder = target().join(folder);
    let files = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}; make {make}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "tflite" || e == "onnx"));
    files.sort();
    files
}

/// How far the evaluator is from the program that the model comes from: LiteRT, or PyTorch where an input
/// and its answers lie beside the file; and how far it may be.
fn from_reference(
    file: &Path,
    bytes: &[u8],
    graph: &Graph,
    samples: &[Vec<f32>],
) -> Option<(f64, f64)> {
    let name = file.file_name()?.to_str()?;
    if file.extension()? == "tflite" {
        let python = litert::python().expect("make litert installs it");
        let reference = litert::Reference::of(&python, name, bytes, samples);
        let largest = likeness(&reference.answers, &expected(graph, samples)).largest;
        return Some((largest, reference.tolerance()));
    }
    let values = std::fs::read(file.with_extension("values")).ok()?;
    let values: Vec<f32> = values.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (input, answers) = values.split_at(graph.tensors[graph.inputs[0]].elements());
    let largest = likeness(answers, &expected(graph, &[input.to_vec()])).largest;
    Some((largest, 1e-4 * answers.iter().fold(1.0, |most, v| f64::from(v.abs()).max(most))))
}

/// Measures all models of a folder; the table goes into the documentation.
fn measure(folder: &str) {
    let mut table = String::from(
        "| model | input | evaluator and its reference: largest difference | float kmodel: dB | uint8: cosine | largest difference | dB |\n|---|---|--:|--:|--:|--:|--:|\n",
    );
    let mut failures = Vec::new();
    for file in models(folder, folder) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = std::fs::read(&file).unwrap();
        let format = InputFormat::detect(&bytes).unwrap();
        let graph = match import::import(&bytes, format, None) {
            Ok(imported) => imported.graph,
            Err(problems) => {
                table += &format!("| {name} | {}\n", refused(&problems));
                continue;
            }
        };
        let samples = inputs(&graph);
        let expected = expected(&graph, &samples);
        let mut row =
            graph.shape(graph.inputs[0]).iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let mut tolerance = 1e-4;
        row += " | ";
        if let Some((largest, most)) = from_reference(&file, &bytes, &graph, &samples) {
            tolerance = most;
            if largest > most {
                failures.push(format!("{name}: the evaluator is {largest} from its reference"));
            }
            row += &format!("{largest:.1e}");
        }
        let measure = |t| measured(name, &bytes, t, &samples, &expected);
        row = match (measure(ElementType::Float), measure(ElementType::Uint8)) {
            (Ok(float), Ok(uint8)) => {
                if float.largest > tolerance {
                    failures.push(format!("{name}: the float kmodel {float:?}"));
                }
                format!(
                    "{row} | {:.1} | {:.5} | {:.1e} | {:.1} |",
                    float.decibels, uint8.cosine, uint8.largest, uint8.decibels
                )
            }
            (Err(problems), _) | (_, Err(problems)) => refused(&problems),
        };
        println!("| {name} | {row}");
        table += &format!("| {name} | {row}\n");
    }
    common::update_docs(folder, &table);
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
#[ignore = "minutes: make registry-models"]
fn trained_models_compile_or_are_refused_with_advice() {
    measure("registry-models");
}

#[test]
#[ignore = "minutes: make exported-graphs"]
fn exported_graphs_compile_or_are_refused_with_advice() {
    measure("exported-graphs");
}

/// A classifier on pictures that calibration has not seen.
#[test]
#[ignore = "minutes: make registry-models"]
fn a_trained_classifier_finds_the_same_classes_in_bytes() {
    const CALIBRATION: u64 = 8;
    const HELD_BACK: u64 = 32;
    const RANGE: (f32, f32) = (0.0, 1.0);
    let file = target().join("registry-models/nsfw_mobilenet_v2.tflite");
    let bytes = std::fs::read(file).expect("make registry-models fetches it");
    let graph = import::import(&bytes, InputFormat::Tflite, None).unwrap().graph;
    let shape = graph.shape(graph.inputs[0]);
    let pictures = |seeds: std::ops::Range<u64>| seeds.map(|seed| picture(shape, seed)).collect();
    let samples: Vec<Vec<f32>> = pictures(1..CALIBRATION + 1);
    let data = common::write_raw("classifier", &samples);
    let options = Options { input_range: Some(RANGE), ..common::raw(data) };
    let compiled = compile(&bytes, &options, &mut |_, _, _| {}).unwrap();
    let held_back: Vec<Vec<f32>> = pictures(100..100 + HELD_BACK);
    let near = against_float("classifier", &graph, &compiled.kmodel, &held_back, RANGE);
    let class = |scores: &[f32]| (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let classes = held_back.iter().map(|sample| {
        let sample = std::slice::from_ref(sample);
        let in_bytes = outputs(&compiled.kmodel, sample, RANGE).unwrap();
        (class(&expected(&graph, sample)), class(&in_bytes[0]))
    });
    let classes: Vec<_> = classes.collect();
    let same = classes.iter().filter(|(float, bytes)| float == bytes).count();
    let occurring = classes.iter().map(|(float, _)| float).collect::<HashSet<_>>().len();
    let table = format!(
        "| model | cosine | largest difference | dB | same class | classes that occur |\n|---|--:|--:|--:|--:|--:|\n| nsfw_mobilenet_v2 | {:.5} | {:.1e} | {:.1} | {same} of {HELD_BACK} | {occurring} |\n",
        near.cosine, near.largest, near.decibels
    );
    println!("{table}");
    common::update_docs("classifier", &table);
    assert!(near.cosine > 0.99 && same as u64 * 10 >= HELD_BACK * 9, "{table}");
}
