//! Compiles `.tflite` and `.onnx` models to K210 kmodels.
//!
//! ```text
//! bytes -> import -> graph -> optimize -> calibrate -> lower -> program -> emit -> kmodel
//!                               (eval)               (quantize)         (memory)
//! ```
//!
//! - [`import`] reads the model file into the [`graph`]: operators as the model's author knows them.
//! - [`optimize`] rewrites the graph without changing its meaning.
//! - [`calibrate`] runs the graph in single precision ([`eval`]) and notes which values occur.
//! - [`lower`] decides who computes what, KPU or CPU, and gives the [`program`] of the chip's steps;
//!   [`quantize`] holds the arithmetic of bytes.
//! - [`emit`] places every value ([`memory`]) and writes the file.

pub mod calibrate;
pub mod cost;
pub mod dataset;
pub mod emit;
pub mod eval;
pub mod expr;
pub mod graph;
pub mod import;
pub mod lower;
pub mod measure;
pub mod memory;
pub mod optimize;
pub mod options;
pub mod problem;
pub mod program;
pub mod quantize;
pub mod report;

use std::{collections::HashSet, time::Duration};

use calibrate::{Calibration, Stats};
use dataset::Dataset;
use emit::{EmitError, Emitted};
use graph::{Graph, TensorId};
use maix_kpu::{kpu::memory::KPU_RAM_BYTES, model::metadata::Content};
pub use options::Options;
use options::{CalibrateMethod, DatasetFormat, ElementType};
pub use problem::Problem;
use program::Program;
pub use report::Report;

/// A compiled model.
pub struct Compiled {
    /// The file.
    pub kmodel: Vec<u8>,
    /// What became of each node.
    pub report: Report,
    /// The graph after all rewrites, for `--dump-ir`.
    pub graph: Graph,
}

/// What takes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Running the model on the data set.
    Calibrating,
    /// Running the kmodel to measure its error.
    Measuring,
}

/// Told how many of how many parts of a stage are done.
pub type Progress<'p> = &'p mut dyn FnMut(Stage, usize, usize);

/// How often a tensor may be moved out of KPU RAM before the compiler gives up.
const MOST_SPILLS: usize = 64;

/// Compiles a model; every problem that is found is returned, not the first alone.
pub fn compile(
    model: &[u8],
    options: &Options,
    progress: Progress<'_>,
) -> Result<Compiled, Vec<Problem>> {
    let format =
        options.input_format.or_else(|| import::InputFormat::detect(model)).ok_or_else(|| {
            vec![Problem::general(
                "the model file",
                "neither TensorFlow Lite nor ONNX",
                "give a .tflite or .onnx file, and say which with -i",
            )]
        })?;
    let imported = import::import(model, format, options.model_folder.as_deref())?;
    let (mut graph, mut warnings) = (imported.graph, imported.warnings);
    optimize::optimize(&mut graph);
    if options.inference_type == ElementType::Uint8 {
        optimize::wide::split(&mut graph);
    }
    if graph.nodes.is_empty() {
        return Err(vec![Problem::general(
            "the model",
            "computes nothing",
            "check the exported file",
        )]);
    }
    let options = &with_range_of_file(&graph, options);
    let mut calibration = if options.inference_type == ElementType::Uint8 {
        calibrated(&graph, options, progress)?
    } else {
        Calibration {
            stats: vec![Stats::default(); graph.tensors.len()],
            samples: Vec::new(),
            used: 0,
            skipped: Vec::new(),
        }
    };
    optimize::equalize::equalize(&mut graph, &mut calibration.stats);
    warnings.extend(calibration.skipped.iter().map(|s| format!("calibration: {s}; not used")));
    let (program, emitted, qparams) = fitted(&graph, options, &calibration.stats)?;
    let mut kmodel = emitted.kmodel.clone();
    let range = input_range(&graph, options);
    let labels = options.labels.join("\n");
    Content { labels: &labels, input_range: range, ..Content::default() }
        .write(&mut |bytes| kmodel.extend_from_slice(bytes));
    let errors = measure::errors(
        &graph,
        &program,
        &emitted,
        &qparams,
        &calibration.samples,
        options,
        &mut |done, all| {
            progress(Stage::Measuring, done, all);
        },
    );
    warnings.extend(far_outputs(&graph, &program, &errors));
    let report =
        Report::new(&graph, &program, &emitted, kmodel.len(), &calibration, &errors, warnings);
    Ok(Compiled { kmodel, report, graph })
}

/// Below this many decibels an answer is hardly that of the float model.
const FAR: f64 = 15.0;

/// Warnings for outputs that quantization has spoilt.
fn far_outputs(
    graph: &Graph,
    program: &Program,
    errors: &[Option<measure::Difference>],
) -> Vec<String> {
    let decibels = |value: usize| {
        let root = program.root(value);
        let writes = |s: &program::Step| s.writes.iter().any(|&w| program.root(w) == root);
        let step = program.steps.iter().rposition(writes)?;
        errors[step].map(|e| e.decibels()).filter(|&d| d < FAR)
    };
    program
        .outputs
        .iter()
        .zip(&graph.outputs)
        .filter_map(|(&value, &id)| Some((decibels(value)?, id)))
        .map(|(decibels, id)| {
            format!(
                "output {} is {decibels:.1} dB from the float model's: either the calibration data is not typical, or the model magnifies small differences; look for the first row with few dB, and try --calibrate-method l2 or --inference-type float",
                graph.tensors[id].name
            )
        })
        .collect()
}

/// A quantized model file says itself what its input's bytes stand for.
fn with_range_of_file(graph: &Graph, options: &Options) -> Options {
    let mut options = options.clone();
    if let (false, &[input]) = (options.has_pixel_range(), &graph.inputs[..]) {
        options.input_range = graph.tensors[input].range.filter(|(low, high)| high > low);
    }
    options
}

/// What pixel 0 and pixel 255 stand for, if the model takes pictures.
fn input_range(graph: &Graph, options: &Options) -> Option<(f32, f32)> {
    let is_image = |&id: &TensorId| matches!(graph.shape(id), [1, 1 | 3, _, _]);
    let known = options.dataset_format == DatasetFormat::Image || options.input_range.is_some();
    (known && graph.inputs.iter().all(is_image)).then(|| options.pixel_range())
}

fn calibrated(
    graph: &Graph,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Calibration, Vec<Problem>> {
    let known = graph.nodes.iter().all(|n| graph.tensors[n.output].range.is_some());
    let Some(path) = &options.dataset else {
        if known {
            // Everything that calibration would find out stands in the file.
            let stats = vec![Stats::default(); graph.tensors.len()];
            return Ok(Calibration { stats, samples: Vec::new(), used: 0, skipped: Vec::new() });
        }
        return Err(vec![Problem::general(
            "--dataset",
            "a uint8 model needs typical inputs to find out which values occur",
            "give --dataset FOLDER with 20 to 200 pictures, or --inference-type float",
        )]);
    };
    let shapes = graph.inputs.iter().map(|&id| graph.shape(id).to_vec()).collect();
    let dataset = Dataset::open(path, shapes, options).map_err(|p| vec![p])?;
    let method: CalibrateMethod = options.calibrate_method;
    calibrate::calibrate(graph, &dataset, method, &mut |done, all| {
        progress(Stage::Calibrating, done, all)
    })
}

/// Lowers the graph so that KPU RAM suffices: where too much lies there at a time, tensors that wait
/// for a later use go to main memory meanwhile.
fn fitted(
    graph: &Graph,
    options: &Options,
    stats: &[Stats],
) -> Result<(Program, Emitted, Vec<quantize::QParam>), Vec<Problem>> {
    let qparams = if options.inference_type == ElementType::Uint8 {
        lower::qparams(graph, options, stats)
    } else {
        Vec::new()
    };
    let solve = Duration::from_secs(options.max_allocator_solve_secs.into());
    let mut spilled = HashSet::new();
    loop {
        let program = lower::lower(graph, options, stats, qparams.clone(), &spilled)?;
        match emit::emit(&program, options.kmodel_version, solve) {
            Ok(emitted) => return Ok((program, emitted, qparams)),
            Err(EmitError::KpuRam { needed, step, holds }) => {
                let busy = &program.steps[step.min(program.steps.len() - 1)];
                let in_use: HashSet<_> = busy
                    .reads
                    .iter()
                    .chain(&busy.writes)
                    .map(|&id| program.values[id].tensor)
                    .collect();
                let waiting = holds
                    .iter()
                    .filter_map(|&id| {
                        Some((program.values[id].bytes(), program.values[id].tensor?))
                    })
                    .filter(|(_, tensor)| {
                        !in_use.contains(&Some(*tensor)) && !spilled.contains(tensor)
                    })
                    .max();
                match waiting {
                    Some((_, tensor)) if spilled.len() < MOST_SPILLS => {
                        spilled.insert(tensor);
                    }
                    _ => {
                        let node =
                            busy.node.map(|n| graph.nodes[n].name.clone()).unwrap_or_default();
                        return Err(vec![Problem::general(
                            node,
                            format!(
                                "KPU RAM would hold {needed} bytes here, {} more than the chip has",
                                needed.saturating_sub(KPU_RAM_BYTES)
                            ),
                            "make the input or the number of channels smaller",
                        )]);
                    }
                }
            }
            Err(EmitError::Refused(steps)) => {
                let refused = steps.into_iter().map(|(at, why)| {
                    let step = &program.steps[at];
                    let shape = |&id: &usize| format!("{:?}", program.values[id].shape);
                    let shapes: Vec<String> =
                        step.reads.iter().chain(&step.writes).map(shape).collect();
                    Problem {
                        node: step.node.map(|n| graph.nodes[n].name.clone()).unwrap_or_default(),
                        operator: step.op.name().into(),
                        shapes: format!(" {}", shapes.join(" ")),
                        why,
                        advice: "leave out --kmodel-version 3: version 4 has it; or end the model before it".into(),
                    }
                });
                return Err(refused.collect());
            }
            Err(EmitError::Layer { step, error }) => {
                let node = program.steps[step].node.map(|n| graph.nodes[n].name.clone());
                return Err(vec![Problem::general(
                    node.unwrap_or_default(),
                    format!("the KPU has no such layer: {error}"),
                    "report this model to the authors of maix-kpu",
                )]);
            }
        }
    }
}
