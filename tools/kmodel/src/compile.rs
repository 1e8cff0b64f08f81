//! `kmodel compile`: from .tflite and .onnx to .kmodel, with the options of nncase 0.2's `ncc`.

use crate::{
    boxes, dot,
    failure::{Failure, Result},
    given::range,
    progress,
    text::Notes,
};
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use kmodel_compiler::{
    Options, Problem, Stage,
    graph::{Graph, Op},
    import::InputFormat,
    options::{CalibrateMethod, DatasetFormat, ElementType, KmodelVersion, Layout},
};
use maix_kpu::model::{Model, metadata::Content};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `compile`.
#[derive(Args)]
pub struct CompileOptions {
    /// The .tflite or .onnx file
    model: PathBuf,
    /// The .kmodel to write
    out: PathBuf,
    /// Format of the model file; found out from its bytes if not given
    #[arg(short, long, value_enum)]
    input_format: Option<Format>,
    /// Format to write
    #[arg(short, long, default_value = "kmodel", value_parser = ["kmodel"])]
    output_format: String,
    /// Chip to compile for
    #[arg(short, long, default_value = "k210", value_parser = ["k210"])]
    target: String,
    /// Folder (or file) with typical inputs, from which the ranges of values are found; wanted for
    /// uint8 models
    #[arg(long, value_name = "PATH")]
    dataset: Option<PathBuf>,
    /// What lies there: pictures, which are resized, or 32-bit floats
    #[arg(long, value_enum, default_value_t = Dataset::Image)]
    dataset_format: Dataset,
    /// Order of the values of a raw data set
    #[arg(long, value_enum, default_value_t = Order::Nchw)]
    layout: Order,
    /// What the model computes with; float does not use the KPU
    #[arg(long, value_enum, default_value_t = Element::Uint8)]
    inference_type: Element,
    /// What the compiled model is fed with; default: as --inference-type
    #[arg(long, value_enum, default_value_t = InputElement::Default)]
    input_type: InputElement,
    /// Subtracted from each value; a picture's are 0..1 [default: 0]
    #[arg(long, value_name = "M", allow_hyphen_values = true)]
    input_mean: Option<f32>,
    /// Each value is divided by it after that [default: 1]
    #[arg(long, value_name = "S", value_parser = positive)]
    input_std: Option<f32>,
    /// What pixels 0 and 255 stand for; says the same as --input-mean and --input-std. Without all three
    /// it is 0 and 1 for pictures; bytes for raw data cover what the data set holds
    #[arg(long, value_name = "LOW,HIGH", value_parser = range, allow_hyphen_values = true,
        conflicts_with_all = ["input_mean", "input_std"])]
    input_range: Option<(f32, f32)>,
    /// How ranges are chosen: from the smallest to the largest value, with least squared error, with
    /// least Kullback-Leibler divergence
    #[arg(long, value_enum, default_value_t = Calibration::NoClip)]
    calibrate_method: Calibration,
    /// Convolutions whose weights spread further stay float; default: none do, since every channel has
    /// a scale of its own
    #[arg(long, value_name = "T", value_parser = positive)]
    weights_quantize_threshold: Option<f32>,
    /// Matrix products with fewer weights, and CPU operators with fewer results, stay float
    #[arg(long, value_name = "N", default_value_t = 1024)]
    output_quantize_threshold: usize,
    /// Operators of two operands stay float
    #[arg(long)]
    no_quantized_binary: bool,

    /// Leave all layers in bytes, even if that spoils the outputs: else, where an output's cosine with
    /// the float model's is below 0.99, the layers that do most harm are computed in float by the CPU,
    /// as few as bring it to 0.99, and a warning says what they cost
    #[arg(long)]
    no_float_fallback: bool,
    /// Seconds for a better layout of memory; 0 takes the first that is found
    #[arg(long, value_name = "S", default_value_t = 60)]
    max_allocator_solve_secs: u32,
    /// Version of the kmodel
    #[arg(long, default_value = "4", value_parser = ["3", "4"])]
    kmodel_version: String,
    /// Opcodes beyond those that every MaixPy firmware runs: 0x12 (table lookup), 0x14 (nnil)
    #[arg(long, value_name = "OP,...", value_delimiter = ',', value_parser = opcode)]
    allow_ops: Vec<u32>,
    /// File with the names of the classes, one a line, for the model's metadata
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Anchors (width, height, ...) of a YOLO model, for the metadata
    #[arg(long, value_name = "A,B,...", value_parser = boxes::anchors)]
    anchors: Option<boxes::Anchors>,
    /// A note for the metadata
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,
    /// Also write the table to this .html or .json file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the graph after each pass that changed it to the working directory, ir_00_import.dot and
    /// so on, and last the kmodel's steps with all addresses, ir_..._program.txt
    #[arg(long)]
    dump_ir: bool,
    /// Print the range of the weights of every convolution and matrix product
    #[arg(long)]
    dump_weights_range: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Tflite,
    Onnx,
}

#[derive(Clone, Copy, ValueEnum)]
enum Dataset {
    Image,
    Raw,
}

#[derive(Clone, Copy, ValueEnum)]
enum Order {
    Nchw,
    Nhwc,
}

#[derive(Clone, Copy, ValueEnum)]
enum Element {
    Float,
    Uint8,
}

#[derive(Clone, Copy, ValueEnum)]
enum InputElement {
    Default,
    Float,
    Uint8,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Calibration {
    NoClip,
    L2,
    #[value(aliases = ["kld_m0", "kld_m1", "kld_m2", "cdf"])]
    Kld,
}

fn positive(text: &str) -> std::result::Result<f32, String> {
    let number = text.parse().ok().filter(|&number: &f32| number > 0.0 && number.is_finite());
    number.ok_or_else(|| "give a number above 0".to_string())
}

fn opcode(text: &str) -> std::result::Result<u32, String> {
    let digits = text.trim();
    let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    };
    let known = number.filter(|number| [0x12, 0x14].contains(number));
    known.ok_or_else(|| "only 0x12 and 0x14 can be allowed; all others are anyway".to_string())
}

impl CompileOptions {
    fn options(&self) -> Result<Options> {
        let element = |element| match element {
            Element::Float => ElementType::Float,
            Element::Uint8 => ElementType::Uint8,
        };
        if self.input_mean.is_some_and(|mean| !mean.is_finite()) {
            return Err(Failure::new("--input-mean is no number", "give a number such as 0.5"));
        }
        let labels = match &self.labels {
            Some(path) => fs::read_to_string(path).map_err(|e| Failure::file(path, e))?,
            None => String::new(),
        };
        Ok(Options {
            input_format: self.input_format.map(|format| match format {
                Format::Tflite => InputFormat::Tflite,
                Format::Onnx => InputFormat::Onnx,
            }),
            inference_type: element(self.inference_type),
            input_type: match self.input_type {
                InputElement::Default => None,
                InputElement::Float => Some(ElementType::Float),
                InputElement::Uint8 => Some(ElementType::Uint8),
            },
            dataset: self.dataset.clone(),
            dataset_format: match self.dataset_format {
                Dataset::Image => DatasetFormat::Image,
                Dataset::Raw => DatasetFormat::Raw,
            },
            layout: match self.layout {
                Order::Nchw => Layout::Nchw,
                Order::Nhwc => Layout::Nhwc,
            },
            input_mean: self.input_mean,
            input_std: self.input_std,
            input_range: self.input_range,
            model_folder: self.model.parent().map(Path::to_path_buf),
            calibrate_method: match self.calibrate_method {
                Calibration::NoClip => CalibrateMethod::NoClip,
                Calibration::L2 => CalibrateMethod::L2,
                Calibration::Kld => CalibrateMethod::Kld,
            },
            weights_quantize_threshold: self.weights_quantize_threshold,
            output_quantize_threshold: self.output_quantize_threshold,
            no_quantized_binary: self.no_quantized_binary,
            float_fallback: !self.no_float_fallback,
            max_allocator_solve_secs: self.max_allocator_solve_secs,
            kmodel_version: match self.kmodel_version.as_str() {
                "3" => KmodelVersion::V3,
                _ => KmodelVersion::V4,
            },
            allowed_ops: self.allow_ops.clone(),
            labels: labels.lines().map(str::to_string).collect(),
            keep_passes: self.dump_ir,
        })
    }

    /// The kmodel with anchors and note beside the metadata that the compiler wrote.
    fn with_metadata(&self, mut kmodel: Vec<u8>) -> Result<Vec<u8>> {
        if self.anchors.is_none() && self.note.is_empty() {
            return Ok(kmodel);
        }
        let model = Model::open(&&kmodel[..])?;
        let notes = Notes::of(&model, &kmodel);
        kmodel.truncate(model.size());
        let anchors = self.anchors.as_ref().map_or(&notes.anchors[..], |anchors| &anchors.0);
        let (labels, anchors) = (notes.labels.join("\n"), anchors.as_flattened());
        let content =
            Content { labels: &labels, anchors, input_range: notes.input_range, note: &self.note };
        content.write(&mut |piece| kmodel.extend_from_slice(piece));
        Ok(kmodel)
    }

    /// How the report is to be written, if it is.
    fn report_format(&self) -> Result<Option<ReportFormat>> {
        let Some(path) = &self.report else { return Ok(None) };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("html") => Ok(Some(ReportFormat::Html)),
            Some("json") => Ok(Some(ReportFormat::Json)),
            _ => Err(Failure::new(
                format!("{}: a report is .html or .json", path.display()),
                "give the file one of these endings",
            )),
        }
    }
}

enum ReportFormat {
    Html,
    Json,
}

/// Compiles a model; every problem that is found is a failure of its own.
pub fn run(arguments: &CompileOptions) -> Result<(), Vec<Failure>> {
    let report_format = arguments.report_format().map_err(|e| vec![e])?;
    let options = arguments.options().map_err(|e| vec![e])?;
    let model = read(&arguments.model).map_err(|e| vec![e])?;
    let mut bar = ProgressBar::hidden();
    let mut current = None;
    let compiled = kmodel_compiler::compile(&model, &options, &mut |stage, done, all| {
        if current != Some(stage) {
            current = Some(stage);
            bar.finish_and_clear();
            let what = match stage {
                Stage::Calibrating => "calibrating",
                Stage::Measuring => "measuring",
            };
            bar = progress::bar(what, all);
        }
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let compiled =
        compiled.map_err(|problems| problems.into_iter().map(failure).collect::<Vec<_>>())?;
    if arguments.dump_weights_range {
        print_weights(&compiled.graph);
    }
    for (index, (pass, graph)) in compiled.passes.iter().enumerate() {
        let file = format!("ir_{index:02}_{pass}.dot");
        write(Path::new(&file), dot::graph(graph).as_bytes())?;
    }
    if let Some(listing) = &compiled.listing {
        let file = format!("ir_{:02}_program.txt", compiled.passes.len());
        write(Path::new(&file), listing.as_bytes())?;
    }
    let kmodel = arguments.with_metadata(compiled.kmodel).map_err(|e| vec![e])?;
    write(&arguments.out, &kmodel)?;
    if let (Some(path), Some(format)) = (&arguments.report, report_format) {
        let report = match format {
            ReportFormat::Html => compiled.report.html(),
            ReportFormat::Json => compiled.report.json(),
        };
        write(path, report.as_bytes())?;
    }
    say!("{}", compiled.report.to_string().trim_end());
    if !arguments.allow_ops.is_empty() && !uses(&kmodel, &arguments.allow_ops) {
        say!("note: the model needs none of the opcodes that --allow-ops allows");
    }
    say!("wrote {} ({} bytes)", arguments.out.display(), kmodel.len());
    Ok(())
}

/// The bytes of a model file; of the folder of a SavedModel, those of the graph in it.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let graph = path.join("saved_model.pb");
    let path = if graph.is_file() { &graph } else { path };
    fs::read(path).map_err(|e| Failure::file(path, e))
}

/// A problem as a failure of the command.
pub fn failure(problem: Problem) -> Failure {
    let hint = problem.advice.clone();
    let what = Problem { advice: String::new(), ..problem }.to_string();
    Failure::new(what, hint)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Vec<Failure>> {
    fs::write(path, bytes).map_err(|e| vec![Failure::file(path, e)])
}

/// Whether a model has a node with one of the opcodes.
fn uses(kmodel: &[u8], opcodes: &[u32]) -> bool {
    let source = &kmodel;
    let Ok(model) = Model::open(source) else { return false };
    model.version() == 4 && model.nodes(source).flatten().any(|node| opcodes.contains(&node.opcode))
}

fn print_weights(graph: &Graph) {
    for node in &graph.nodes {
        let weights: &[f32] = match &node.op {
            Op::Conv2d(conv) => &conv.weights,
            Op::ConvTranspose(conv) => &conv.weights,
            Op::MatMul { .. } => {
                let constant = node.inputs.iter().find_map(|&id| graph.tensors[id].data.as_deref());
                constant.unwrap_or_default()
            }
            _ => continue,
        };
        let low = weights.iter().copied().fold(f32::INFINITY, f32::min);
        let high = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        say!("{}: weights {low} to {high}", node.name);
    }
}
