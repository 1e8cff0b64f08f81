//! `kmodel compare`: where the values of two models begin to differ, and by how much.

use crate::{
    failure::{Failure, Result},
    given::{self, Fitting, Given},
    machine::{Machine, Recorder, Value},
    model_file::{ModelFile, ModelPath},
    reference::Reference,
    text,
};
use clap::Args;
use kmodel_compiler::measure::Difference;
use maix_kpu::{model::Tensor, tensor::Dtype};
use serde_json::{Value as Json, json};
use std::path::PathBuf;

/// Arguments of `compare`.
#[derive(Args)]
pub struct CompareOptions {
    #[command(flatten)]
    model: ModelPath,
    /// The other .kmodel
    #[arg(required_unless_present = "against", conflicts_with = "against")]
    other: Option<PathBuf>,
    /// Compare with the float model that it was compiled from
    #[arg(long, value_name = "MODEL")]
    against: Option<PathBuf>,
    /// As `kmodel run` takes it; without it every input is the same noise each time
    #[arg(long, value_name = "IN")]
    input: Vec<PathBuf>,
    #[command(flatten)]
    fitting: Fitting,
    /// Decibels that are good enough: a lower value counts as a difference, and at an output gives exit
    /// status 1; default: 20 with --against, else every difference counts and the status is 0
    #[arg(long, value_name = "DB")]
    least: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Decibels below which a node counts as different from a float model.
const LEAST_AGAINST: f64 = 20.0;

/// A value beside its counterpart.
pub struct Row {
    /// `node 3`, `output 0`.
    pub name: String,
    /// The operator, or what the counterpart is called.
    pub what: String,
    /// Type and shape.
    pub tensor: String,
    /// The difference, or why there is no counterpart.
    pub difference: Result<Distance, &'static str>,
    /// Whether it is an output.
    pub is_output: bool,
}

/// How far two values are apart.
#[derive(Clone, Copy)]
pub struct Distance {
    /// Signal over difference; infinite if they are equal.
    pub decibels: f64,
    /// Largest difference of two elements.
    pub largest: f32,
}

impl Distance {
    /// Of numbers from those that are expected.
    pub fn between(expected: &[f32], got: &[f32]) -> Self {
        let mut difference = Difference::default();
        let mut largest = 0.0f32;
        for (&expected, &got) in expected.iter().zip(got) {
            // Equal infinities and NaNs are equal, which a subtraction does not say.
            if expected.to_bits() != got.to_bits() {
                difference.add(expected, got);
                largest = largest.max((expected - got).abs());
            } else if expected.is_finite() {
                difference.add(expected, got);
            }
        }
        let decibels = difference.decibels();
        let equal = expected.iter().zip(got).all(|(a, b)| a.to_bits() == b.to_bits());
        Self { decibels: if equal { f64::INFINITY } else { decibels }, largest }
    }
}

/// Compares two models on the same input.
pub fn run(options: &CompareOptions) -> Result<()> {
    let mut machine = Machine::of(options.model.read_one()?)?;
    let given = inputs(options, &machine)?;
    let (rows, note) = match (&options.against, &options.other) {
        (Some(path), _) => {
            let reference = Reference::open(path)?;
            (reference.compare(&mut machine, &given, &options.fitting)?, None)
        }
        (None, Some(other)) => beside(&mut machine, other, &given, &options.fitting)?,
        (None, None) => (Vec::new(), None),
    };
    let default = if options.against.is_some() { LEAST_AGAINST } else { f64::INFINITY };
    let least = options.least.unwrap_or(default);
    // A NaN counts as a difference.
    let differs =
        |row: &&Row| row.difference.is_ok_and(|d| d.decibels.is_nan() || d.decibels < least);
    let first = rows.iter().find(differs);
    if options.json {
        print_json(&rows, first, note.as_deref());
    } else {
        print(&rows, first, note.as_deref(), least);
    }
    match rows.iter().filter(|row| row.is_output).find(differs) {
        Some(row) if options.least.is_some() => Err(Failure::new(
            format!(
                "{}: {:.1} dB, at least {least} are asked for",
                row.name,
                row.difference.map_or(f64::NAN, |d| d.decibels)
            ),
            "see the first node that differs; more or better calibration data may help",
        )),
        _ => Ok(()),
    }
}

fn inputs(options: &CompareOptions, machine: &Machine) -> Result<Vec<Given>> {
    let tensors = machine.inputs()?;
    if options.input.is_empty() {
        return Ok(tensors.iter().map(noise).collect());
    }
    given::read_all(&options.input, &tensors, &options.fitting)
}

/// The same noise for the same tensor: bytes, or floats from 0 to 1.
fn noise(tensor: &Tensor) -> Given {
    let mut state = 0x9E37_79B9u32;
    let bytes = (0..tensor.elements()).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    });
    match tensor.dtype {
        Dtype::U8 => Given::Bytes(bytes.collect()),
        Dtype::F32 => Given::Floats(bytes.map(|byte| f32::from(byte) / 255.0).collect()),
    }
}

/// Two kmodels: node by node if they have the same nodes, else their outputs alone.
fn beside(
    machine: &mut Machine,
    other: &PathBuf,
    given: &[Given],
    fitting: &Fitting,
) -> Result<(Vec<Row>, Option<String>)> {
    let bytes = std::fs::read(other).map_err(|e| Failure::file(other, e))?;
    let name = other.display().to_string();
    let mut other = Machine::of(ModelFile { name: name.clone(), bytes })?;
    let shapes = |machine: &Machine| -> Result<Vec<String>> {
        Ok(machine.inputs()?.iter().map(|input| text::shape(&input.shape)).collect())
    };
    if shapes(machine)? != shapes(&other)? {
        return Err(Failure::new(
            format!(
                "the models take different inputs: {} and {}",
                shapes(machine)?.join(", "),
                shapes(&other)?.join(", ")
            ),
            "compare models that were compiled from the same network",
        ));
    }
    let inputs: Vec<_> = given.iter().map(Given::input).collect();
    let (mut ours, mut theirs) = (Recorder::default(), Recorder::default());
    let outputs = machine.forward(&inputs, fitting.conversion(), &mut ours)?;
    let other_outputs =
        other.forward(&inputs, fitting.conversion(), &mut theirs).map_err(|e| e.of(&name))?;
    let kind =
        |(name, value): &(&'static str, Value)| format!("{name} {}", text::tensor(&value.tensor));
    let (ours, theirs) = (ours.nodes, theirs.nodes);
    let apart = (0..ours.len().max(theirs.len()))
        .find(|&i| ours.get(i).map(kind) != theirs.get(i).map(kind));
    let mut rows = Vec::new();
    let note = apart.map(|index| {
        let kind = |nodes: &[(&'static str, Value)]| {
            nodes.get(index).map_or("nothing".to_string(), kind)
        };
        format!(
            "the models have other nodes from node {index} on ({} and {}); only outputs are compared",
            kind(&ours),
            kind(&theirs)
        )
    });
    if note.is_none() {
        for (index, ((what, a), (_, b))) in ours.iter().zip(&theirs).enumerate() {
            rows.push(row(format!("node {index}"), what, a, b, false));
        }
    }
    for (index, (a, b)) in outputs.iter().zip(&other_outputs).enumerate() {
        if a.tensor.elements() == b.tensor.elements() {
            rows.push(row(format!("output {index}"), "", a, b, true));
        }
    }
    Ok((rows, note))
}

fn row(name: String, what: &str, a: &Value, b: &Value, is_output: bool) -> Row {
    Row {
        name,
        what: what.to_string(),
        tensor: text::tensor(&a.tensor),
        difference: Ok(Distance::between(&b.numbers(), &a.numbers())),
        is_output,
    }
}

fn print(rows: &[Row], first: Option<&Row>, note: Option<&str>, least: f64) {
    if let Some(note) = note {
        say!("{note}");
    }
    for Row { name, what, tensor, difference, .. } in rows {
        let difference = match difference {
            Ok(Distance { decibels: f64::INFINITY, .. }) => "equal".to_string(),
            Ok(d) => format!("{:.1} dB, largest difference {}", d.decibels, d.largest),
            Err(why) => format!("no counterpart: {why}"),
        };
        say!("{name:<9} {tensor:<24} {difference:<40} {what}");
    }
    match first {
        Some(row) => say!("first difference: {} {}", row.name, row.what),
        None if least.is_finite() => say!("no value below {least} dB"),
        None => say!("equal"),
    }
}

fn print_json(rows: &[Row], first: Option<&Row>, note: Option<&str>) {
    let rows: Vec<Json> = rows
        .iter()
        .map(|row| {
            let decibels = row.difference.ok().map(|d| d.decibels);
            json!({
                "name": row.name,
                "what": row.what,
                "tensor": row.tensor,
                "equal": decibels == Some(f64::INFINITY),
                "decibels": decibels.filter(|d| d.is_finite()),
                "largest_difference": row.difference.ok().map(|d| d.largest),
                "no_counterpart": row.difference.err(),
            })
        })
        .collect();
    let report = json!({ "rows": rows, "first_difference": first.map(|r| &r.name), "note": note });
    say!("{report:#}");
}
