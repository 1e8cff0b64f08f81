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
pub mod dataset;
pub mod emit;
pub mod estimate;
pub mod eval;
pub mod expr;
pub mod fallback;
pub mod graph;
pub mod import;
pub mod listing;
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

use calibrate::Calibration;
use dataset::Dataset;
use emit::{EmitError, Emitted};
use fallback::LEAST_COSINE;
use graph::{Graph, TensorId};
use maix_kpu::{kpu::memory::KPU_RAM_BYTES, model::metadata::Content};
use measure::Difference;
pub use options::Options;
use options::{CalibrateMethod, DatasetFormat, ElementType, KmodelVersion};
pub use problem::Problem;
use program::Program;
use quantize::QParam;
pub use report::Report;

/// A compiled model.
pub struct Compiled {
    /// The file.
    pub kmodel: Vec<u8>,
    /// What became of each node.
    pub report: Report,
    /// The graph after all rewrites.
    pub graph: Graph,
    /// With [`Options::keep_passes`]: each pass that changed the graph, and the graph after it.
    pub passes: Vec<(&'static str, Graph)>,
    /// With [`Options::keep_passes`]: the steps of the kmodel, one a line.
    pub listing: Option<String>,
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

/// The advice where the compiler itself is at fault.
pub const REPORT: &str = "report this model to the authors of maix-kpu";

/// How often a tensor may be moved out of KPU RAM before the compiler gives up.
const MOST_SPILLS: usize = 64;

/// Compiles a model; every problem that is found is returned, not the first alone.
pub fn compile(
    model: &[u8],
    options: &Options,
    progress: Progress<'_>,
) -> Result<Compiled, Vec<Problem>> {
    let format =
        import::InputFormat::of(model, options.input_format).map_err(|problem| vec![problem])?;
    let imported = import::import(model, format, options.model_folder.as_deref())?;
    let (mut graph, mut warnings) = (imported.graph, imported.warnings);
    let mut passes = Vec::new();
    let mut seen = |name, graph: &Graph| {
        if options.keep_passes {
            passes.push((name, graph.clone()));
        }
    };
    seen("import", &graph);
    optimize::optimize(&mut graph, &mut seen);
    if options.inference_type == ElementType::Uint8 {
        optimize::wide::split(&mut graph);
        seen("split_wide", &graph);
        // Version 3 cannot cut.
        if options.kmodel_version == KmodelVersion::V4 {
            optimize::means::split(&mut graph, options);
            seen("split_means", &graph);
            optimize::tall::split(&mut graph);
            seen("split_tall", &graph);
        }
    }
    if graph.nodes.is_empty() {
        return Err(vec![Problem::general(
            "the model",
            "computes nothing",
            "check the exported file",
        )]);
    }
    let options = &with_range_of_file(&graph, options);
    let mut calibration = calibrated(&graph, options, progress)?;
    optimize::equalize::equalize(&mut graph, &mut calibration.stats);
    seen("equalize", &graph);
    warnings.extend(calibration.skipped.iter().map(|s| format!("calibration: {s}; not used")));
    let qparams = if options.inference_type == ElementType::Uint8 {
        lower::qparams(&graph, options, &calibration.stats)
    } else {
        Vec::new()
    };
    let compiler =
        Compiler { graph: &graph, options, calibration: &calibration, qparams: &qparams };
    let (built, kept) = compiler.near_enough(progress)?;
    warnings.extend(kept);
    warnings.extend(far_outputs(&graph, &built));
    let Built { program, emitted, errors } = built;
    let mut kmodel = emitted.kmodel.clone();
    let range = input_range(&graph, options);
    let labels = options.labels.join("\n");
    Content { labels: &labels, input_range: range, ..Content::default() }
        .write(&mut |bytes| kmodel.extend_from_slice(bytes));
    let inputs = (0..graph.inputs.len()).map(|i| {
        let id = graph.inputs[i];
        report::Input {
            name: graph.tensors[id].name.clone(),
            shape: graph.shape(id).to_vec(),
            byte_range: measure::byte_input(&graph, &qparams, options, i).map(QParam::range),
        }
    });
    let report = Report {
        inputs: inputs.collect(),
        ..Report::new(&graph, &program, &emitted, kmodel.len(), &calibration, &errors, warnings)
    };
    let listing = options.keep_passes.then(|| listing::of(&graph, &program, &emitted));
    Ok(Compiled { kmodel, report, graph, passes, listing })
}

/// A kmodel, and how far each step's result is from the float model's.
struct Built {
    program: Program,
    emitted: Emitted,
    errors: Vec<Option<Difference>>,
}

impl Built {
    /// The error of each output that was measured.
    fn outputs(&self) -> impl Iterator<Item = (usize, Difference)> {
        let program = &self.program;
        program.outputs.iter().enumerate().filter_map(|(i, &value)| {
            let root = program.root(value);
            let writes = |s: &program::Step| s.writes.iter().any(|&w| program.root(w) == root);
            Some((i, self.errors[program.steps.iter().rposition(writes)?]?))
        })
    }

    /// The least cosine of an output; 1 if none was measured.
    fn cosine(&self) -> f64 {
        self.outputs().map(|(_, e)| e.cosine()).fold(1.0, f64::min)
    }

    /// Estimated milliseconds on the chip.
    fn milliseconds(&self) -> f64 {
        estimate::milliseconds(&self.program, &self.emitted).iter().sum()
    }
}

/// What every attempt at a kmodel starts from.
struct Compiler<'c> {
    graph: &'c Graph,
    options: &'c Options,
    calibration: &'c Calibration,
    qparams: &'c [QParam],
}

impl Compiler<'_> {
    /// The kmodel with these nodes in float.
    fn build(&self, float: &HashSet<usize>, progress: Progress<'_>) -> Result<Built, Vec<Problem>> {
        let (program, emitted) = fitted(self, float)?;
        let errors = measure::errors(
            self.graph,
            &program,
            &emitted,
            self.qparams,
            &self.calibration.samples,
            self.options,
            &mut |done, all| progress(Stage::Measuring, done, all),
        );
        Ok(Built { program, emitted, errors })
    }

    /// The kmodel with as few tensors in float as bring its outputs near to the float model's, and
    /// what the user should know of them.
    fn near_enough(&self, progress: Progress<'_>) -> Result<(Built, Option<String>), Vec<Problem>> {
        let in_bytes = self.build(&HashSet::new(), progress)?;
        let (cosine, options) = (in_bytes.cosine(), self.options);
        if cosine >= LEAST_COSINE
            || !options.float_fallback
            || self.qparams.is_empty()
            || options.kmodel_version == KmodelVersion::V3
        {
            return Ok((in_bytes, None));
        }
        let inputs = measure::seen(self.graph, self.qparams, &self.calibration.samples, options);
        let ranked = fallback::ranked(self.graph, self.qparams, &inputs);
        let mut attempt = |count: usize| {
            let float = fallback::nodes(self.graph, &ranked[..count]);
            let built = self.build(&float, progress).ok()?;
            (built.cosine() >= LEAST_COSINE).then_some((built, float.len()))
        };
        let Some(mut best) = attempt(ranked.len()) else { return Ok((in_bytes, None)) };
        // With `few` tensors in float the outputs are too far, with `enough` of them they are near.
        let (mut few, mut enough) = (0, ranked.len());
        while few + 1 < enough {
            let count = (few + enough) / 2;
            match attempt(count) {
                Some(near) => (best, enough) = (near, count),
                None => few = count,
            }
        }
        let (built, float) = best;
        let warning = format!(
            "{float} of {} operators stay in float on the CPU, about {:.1} ms more: all in bytes, an output has a cosine of {cosine:.3} with the float model's, now {:.3}; --no-float-fallback leaves them in bytes",
            self.graph.nodes.len(),
            built.milliseconds() - in_bytes.milliseconds(),
            built.cosine(),
        );
        Ok((built, Some(warning)))
    }
}

/// Below this many decibels an answer is hardly that of the float model.
const FAR: f64 = 15.0;

/// Warnings for outputs that quantization has spoilt.
fn far_outputs(graph: &Graph, built: &Built) -> Vec<String> {
    built
        .outputs()
        .filter(|(_, error)| error.decibels() < FAR)
        .map(|(i, error)| {
            format!(
                "output {} is {:.1} dB from the float model's: either the calibration data is not typical, or the model magnifies small differences; look for the first row with few dB, and try --calibrate-method l2 or --inference-type float",
                graph.tensors[graph.outputs[i]].name,
                error.decibels(),
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
    let known = options.dataset_format == DatasetFormat::Image || options.has_pixel_range();
    (known && graph.inputs.iter().all(is_image)).then(|| options.pixel_range())
}

/// What the data set tells of the model: values for uint8, and samples to measure with.
fn calibrated(
    graph: &Graph,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Calibration, Vec<Problem>> {
    let in_bytes = options.inference_type == ElementType::Uint8;
    let Some(path) = &options.dataset else {
        // The file of a quantized model says what calibration would find out.
        let known = graph.nodes.iter().all(|n| graph.tensors[n.output].range.is_some());
        if known || !in_bytes {
            return Ok(Calibration::none(graph));
        }
        return Err(vec![Problem::general(
            "--dataset",
            "a uint8 model needs typical inputs to find out which values occur",
            "give --dataset FOLDER with 20 to 200 pictures, or --inference-type float",
        )]);
    };
    let shapes = graph.inputs.iter().map(|&id| graph.shape(id).to_vec()).collect();
    let dataset = Dataset::open(path, shapes, options).map_err(|p| vec![p])?;
    if !in_bytes {
        return calibrate::samples(graph, &dataset);
    }
    let method: CalibrateMethod = options.calibrate_method;
    calibrate::calibrate(graph, &dataset, method, &mut |done, all| {
        progress(Stage::Calibrating, done, all)
    })
}

/// Lowers the graph so that KPU RAM suffices: where too much lies there at a time, tensors that wait
/// for a later use go to main memory meanwhile.
fn fitted(
    compiler: &Compiler<'_>,
    float: &HashSet<usize>,
) -> Result<(Program, Emitted), Vec<Problem>> {
    let Compiler { graph, options, calibration, qparams } = compiler;
    let solve = Duration::from_secs(options.max_allocator_solve_secs.into());
    let mut spilled = HashSet::new();
    loop {
        let program =
            lower::lower(graph, options, &calibration.stats, qparams.to_vec(), &spilled, float)?;
        match emit::emit(&program, options.kmodel_version, solve) {
            Ok(emitted) => return Ok((program, emitted)),
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
            Err(EmitError::Invalid { step, error }) => {
                let node = program.steps[step].node.map(|n| graph.nodes[n].name.clone());
                return Err(vec![Problem::general(
                    node.unwrap_or_default(),
                    format!("the kmodel would not be valid: {error}"),
                    REPORT,
                )]);
            }
        }
    }
}
