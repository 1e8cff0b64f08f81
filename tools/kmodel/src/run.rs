//! `kmodel run`: inputs in, outputs out.

use crate::{
    boxes::BoxOptions,
    failure::{Failure, Result},
    given::{self, Fitting, Given},
    machine::{Machine, Value},
    model_file::ModelPath,
    npy,
    text::{self, Notes},
};
use clap::{Args, ValueEnum};
use maix_kpu::{
    model::Node,
    session::trace::{Trace, Written},
    tensor::Dtype,
    vision::scores::{Ranked, softmax, top_k},
};
use serde_json::{Value as Json, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `run`.
#[derive(Args)]
pub struct RunOptions {
    #[command(flatten)]
    model: ModelPath,
    /// Raw values in C, H, W order (.bin), an array (.npy) or a picture (.png, .jpg, .bmp); once for
    /// every input of the model
    #[arg(long, required = true, value_name = "IN")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    fitting: Fitting,
    /// Folder for output_0.bin, output_1.bin, ...
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What is written there: raw values, as the runtime holds them, or arrays
    #[arg(long, value_enum, default_value_t = Format::Bin)]
    format: Format,
    /// Print index, operator, shape and CRC-32 of what every node writes
    #[arg(long)]
    trace: bool,
    /// Print JSON, with all values of the outputs
    #[arg(long)]
    json: bool,
    /// How many of a vector's largest values are printed
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
    /// Turn the scores of a vector into probabilities before they are printed
    #[arg(long)]
    softmax: bool,
    /// File with the names of the classes, one a line, instead of the model's metadata
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    #[command(flatten)]
    boxes: BoxOptions,
}

/// Format of the files of outputs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// output_0.bin
    Bin,
    /// output_0.npy
    Npy,
}

/// Index, operator, type and shape, CRC-32 of what every node writes.
#[derive(Default)]
struct Crcs(Vec<(u32, &'static str, String, u32)>);

impl Trace for Crcs {
    fn end(&mut self, node: &Node, mut result: Written<'_>) -> maix_kpu::error::Result<()> {
        let tensor = text::tensor(&result.tensor()?);
        self.0.push((node.index, node.name(), tensor, result.crc()?));
        Ok(())
    }
}

/// Runs a model once.
pub fn run(options: &RunOptions) -> Result<()> {
    let mut machine = Machine::of(options.model.read_one()?)?;
    let tensors = machine.inputs()?;
    let given = given::read_all(&options.input, &tensors, &options.fitting)?;
    let inputs: Vec<_> = given.iter().map(Given::input).collect();
    let mut notes = machine.notes();
    if let Some(path) = &options.labels {
        let labels = fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
        notes.labels = labels.lines().map(str::to_string).collect();
    }
    let mut crcs = Crcs::default();
    let trace: &mut dyn Trace = if options.trace { &mut crcs } else { &mut () };
    let outputs = machine.forward(&inputs, options.fitting.conversion(), trace)?;
    if let Some(folder) = &options.output {
        save(folder, &outputs, options.format)?;
    }
    let net = tensors.first().map_or((0, 0), |input| {
        let image = input.image();
        (image.width as u32, image.height as u32)
    });
    let boxes = options.boxes.find(&outputs, &notes, (&options.input[0], net), &options.fitting)?;
    if options.json {
        say!("{:#}", report(options, &crcs, &outputs, &notes, boxes));
    } else {
        print(options, &crcs, &outputs, &notes, &boxes);
    }
    Ok(())
}

fn save(folder: &Path, outputs: &[Value], format: Format) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Failure::file(folder, e))?;
    for (index, output) in outputs.iter().enumerate() {
        let (name, bytes) = match format {
            Format::Bin => (format!("output_{index}.bin"), output.bytes.clone()),
            Format::Npy => {
                let Value { tensor, bytes } = output;
                (format!("output_{index}.npy"), npy::write(&tensor.shape, tensor.dtype, bytes))
            }
        };
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(|e| Failure::file(&path, e))?;
    }
    Ok(())
}

/// The largest values of a vector; none for anything else.
fn best(options: &RunOptions, output: &Value) -> Vec<Ranked> {
    if output.tensor.image().plane() != 1 || options.boxes.wanted() {
        return Vec::new();
    }
    let mut values = output.numbers();
    if options.softmax {
        softmax(&mut values);
    }
    let mut top = vec![Ranked::default(); options.top.min(values.len())];
    top_k(&values, &mut top).to_vec()
}

/// A label belongs to a vector with as many values as there are labels.
fn label<'n>(notes: &'n Notes, output: &Value, class: usize) -> Option<&'n str> {
    (notes.labels.len() == output.tensor.elements()).then(|| notes.label(class)).flatten()
}

fn report(
    options: &RunOptions,
    crcs: &Crcs,
    outputs: &[Value],
    notes: &Notes,
    boxes: Vec<Json>,
) -> Json {
    let outputs: Vec<Json> = outputs
        .iter()
        .map(|output| {
            let values = match output.tensor.dtype {
                Dtype::U8 => json!(output.bytes),
                Dtype::F32 => json!(output.numbers()),
            };
            let top = best(options, output).into_iter().map(|Ranked { index, score }| {
                json!({ "index": index, "label": label(notes, output, index), "score": score })
            });
            json!({
                "dtype": output.tensor.dtype.name(),
                "shape": output.tensor.shape,
                "top": top.collect::<Vec<_>>(),
                "values": values,
            })
        })
        .collect();
    let mut report = json!({ "outputs": outputs });
    if options.boxes.wanted() {
        report["boxes"] = json!(boxes);
    }
    if options.trace {
        let nodes = crcs.0.iter().map(|(index, operator, tensor, crc)| {
            json!({ "node": index, "operator": operator, "output": tensor, "crc32": format!("{crc:08x}") })
        });
        report["trace"] = nodes.collect();
    }
    report
}

fn print(options: &RunOptions, crcs: &Crcs, outputs: &[Value], notes: &Notes, boxes: &[Json]) {
    for (index, operator, tensor, crc) in &crcs.0 {
        say!("{index} {operator} {tensor} {crc:08x}");
    }
    for (index, output) in outputs.iter().enumerate() {
        say!("output {index}: {} {:?}", output.tensor.dtype.name(), output.tensor.shape);
        for Ranked { index, score } in best(options, output) {
            match label(notes, output, index) {
                Some(label) => say!("  {index}: {score} {label}"),
                None => say!("  {index}: {score}"),
            }
        }
    }
    for found in boxes {
        let label = found["label"].as_str().unwrap_or_default();
        let probability = found["probability"].as_f64().unwrap_or_default();
        say!(
            "box: class {} {label} {probability:.3} at x {} y {} w {} h {}",
            found["class"],
            found["x"],
            found["y"],
            found["w"],
            found["h"]
        );
    }
    if options.boxes.wanted() && boxes.is_empty() {
        say!("no boxes above the threshold");
    }
}
