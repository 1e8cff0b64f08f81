//! `kmodel info`: what a model holds, needs and takes.

use crate::{
    check::{needed, open},
    clocks::ClockOptions,
    failure::Result,
    graph::{self, Step},
    model_file::{ModelFile, ModelPath},
    node::detail,
    profile::Room,
    text::{Notes, grouped},
};
use clap::Args;
use kmodel_compiler::estimate::{Clocks, Work};
use maix_kpu::{kpu::memory::KPU_RAM_BYTES, model::Tensor};
use serde_json::{Value, json};

/// Arguments of `info`.
#[derive(Args)]
pub struct InfoOptions {
    #[command(flatten)]
    model: ModelPath,
    /// Print JSON; an array if a .kfpkg holds several models
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    room: Room,
    #[command(flatten)]
    clocks: ClockOptions,
}

/// Opcodes of kmodel v4 that older MaixPy firmware does not know; it hangs on them.
const RECENT: [u32; 2] = [0x12, 0x14];

/// Describes every model that is meant.
pub fn run(options: &InfoOptions) -> Result<()> {
    let mut reports = Vec::new();
    for file in options.model.read_all()? {
        reports.push(report(&file, options.room, options.clocks.clocks())?);
    }
    match &reports[..] {
        [report] if options.json => say!("{report:#}"),
        reports if options.json => say!("{:#}", json!(reports)),
        reports => reports.iter().for_each(print),
    }
    Ok(())
}

fn tensor(tensor: &Tensor) -> Value {
    json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape })
}

fn row(step: &Step, clocks: Clocks) -> Value {
    let work = Work::of(&step.node, &step.write);
    json!({
        "index": step.node.index,
        "operator": step.node.name(),
        "detail": detail(&step.node),
        "runs_on": if work.is_kpu() { "KPU" } else { "CPU" },
        "inputs": step.reads.iter().map(|read| tensor(&read.tensor)).collect::<Vec<_>>(),
        "output": tensor(&step.write),
        "weight_bytes": step.weights,
        "body_bytes": step.node.size,
        "offset": step.node.offset,
        "arena": step.takes(false),
        "kpu_ram": step.takes(true),
        "macs": work.macs(),
        "estimated_ms": work.milliseconds(clocks),
    })
}

/// Everything about a model.
pub fn report(file: &ModelFile, room: Room, clocks: Clocks) -> Result<Value> {
    let model = open(file)?;
    let source = &&file.bytes[..];
    let steps = graph::steps(&model, source)?;
    let nodes: Vec<Value> = steps.iter().map(|step| row(step, clocks)).collect();
    let sum = |key: &str| nodes.iter().filter_map(|node| node[key].as_f64()).sum::<f64>();
    let whole = |key: &str| nodes.iter().filter_map(|node| node[key].as_u64()).sum::<u64>();
    let on_kpu = nodes.iter().filter(|node| node["runs_on"] == "KPU");
    let kpu_time: f64 = on_kpu.filter_map(|node| node["estimated_ms"].as_f64()).sum();
    let inputs = (0..model.input_count()).map(|i| Ok(tensor(&model.input(source, i)?)));
    let outputs = (0..model.output_count()).map(|i| Ok(tensor(&model.output(source, i)?)));
    let recent: Vec<String> = steps
        .iter()
        .map(|step| &step.node)
        .filter(|node| model.version() == 4 && RECENT.contains(&node.opcode))
        .map(|node| format!("0x{:02X} {}", node.opcode, node.name()))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let notes = Notes::of(&model, &file.bytes);
    let needed = needed(&model, file)?;
    let metadata = json!({
        "labels": notes.labels,
        "anchors": notes.anchors,
        "input_range": notes.input_range,
        "note": notes.note,
    });
    Ok(json!({
        "file": file.name,
        "version": model.version(),
        "inputs": inputs.collect::<Result<Vec<_>>>()?,
        "outputs": outputs.collect::<Result<Vec<_>>>()?,
        "nodes": nodes,
        "flash": file.bytes.len(),
        "weight_bytes": whole("weight_bytes"),
        "arena": model.main_memory(),
        "kpu_ram_peak": graph::kpu_ram_peak(&model, source, &steps)?,
        "kpu_ram": KPU_RAM_BYTES,
        "macs": whole("macs"),
        "estimated_ms": sum("estimated_ms"),
        "estimated_kpu_ms": kpu_time,
        "clocks_mhz": { "cpu": clocks.cpu_mhz, "kpu": clocks.kpu_mhz },
        "trailing_bytes": file.bytes.len().saturating_sub(model.size()),
        "missing_padding": model.size().saturating_sub(file.bytes.len()),
        "metadata": if notes.present { metadata } else { Value::Null },
        "recent_opcodes": recent,
        "needed": needed,
        "profile": room.name(),
        "free": room.bytes(),
        "fits": needed <= room.bytes(),
    }))
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn shape(value: &Value) -> String {
    list(&value["shape"]).iter().map(Value::to_string).collect::<Vec<_>>().join("x")
}

fn print(report: &Value) {
    say!("{}: kmodel v{}", string(&report["file"]), report["version"]);
    for (key, name) in [("inputs", "input"), ("outputs", "output")] {
        for (index, tensor) in list(&report[key]).iter().enumerate() {
            say!("{name} {index}: {} {} (NxCxHxW)", string(&tensor["dtype"]), shape(tensor));
        }
    }
    print_nodes(report);
    say!(
        "flash {} bytes ({} of weights), arena {} bytes, KPU RAM peak {} of {} bytes",
        grouped(number(&report["flash"])),
        grouped(number(&report["weight_bytes"])),
        grouped(number(&report["arena"])),
        grouped(number(&report["kpu_ram_peak"])),
        grouped(number(&report["kpu_ram"])),
    );
    let milliseconds = |key: &str| report[key].as_f64().unwrap_or_default();
    say!(
        "{} MACs; estimated {:.1} ms on the chip, of which KPU {:.1} ms (CPU {} MHz, KPU {} MHz; \
         an estimate, not a measurement)",
        grouped(number(&report["macs"])),
        milliseconds("estimated_ms"),
        milliseconds("estimated_kpu_ms"),
        report["clocks_mhz"]["cpu"],
        report["clocks_mhz"]["kpu"],
    );
    print_notes(report);
    let verdict = if report["fits"] == true { "fits" } else { "does not fit" };
    say!(
        "{verdict}: needs {} of {} free bytes ({}); camera and screen take theirs besides",
        grouped(number(&report["needed"])),
        grouped(number(&report["free"])),
        string(&report["profile"]),
    );
}

fn print_nodes(report: &Value) {
    say!(
        "{:>4} {:<44} {:>3} {:>16} {:>16} {:>9} {:>9} {:>9} {:>13} {:>8}",
        "node",
        "operator",
        "on",
        "input",
        "output",
        "weights",
        "arena",
        "KPU RAM",
        "MACs",
        "est. ms"
    );
    for node in list(&report["nodes"]) {
        let operator = match string(&node["detail"]) {
            "" => string(&node["operator"]).to_string(),
            detail => format!("{} {detail}", string(&node["operator"])),
        };
        let inputs = list(&node["inputs"]);
        let more = if inputs.len() > 1 { format!("+{}", inputs.len() - 1) } else { String::new() };
        say!(
            "{:>4} {:<44} {:>3} {:>16} {:>16} {:>9} {:>9} {:>9} {:>13} {:>8.3}",
            number(&node["index"]),
            operator,
            string(&node["runs_on"]),
            inputs.first().map_or(String::new(), |input| format!("{}{more}", shape(input))),
            shape(&node["output"]),
            number(&node["weight_bytes"]),
            number(&node["arena"]),
            number(&node["kpu_ram"]),
            number(&node["macs"]),
            node["estimated_ms"].as_f64().unwrap_or_default(),
        );
    }
}

fn print_notes(report: &Value) {
    let metadata = &report["metadata"];
    for (key, what) in [
        ("trailing_bytes", "bytes stand behind the model"),
        ("missing_padding", "bytes of padding are missing at the end, which is accepted"),
    ] {
        if report[key] != 0 {
            let whose = if metadata.is_null() { "" } else { ": metadata" };
            say!("{} {what}{whose}", report[key]);
        }
    }
    if !metadata.is_null() {
        let labels: Vec<&str> = list(&metadata["labels"]).iter().map(string).collect();
        if !labels.is_empty() {
            say!("labels: {}", labels.join(", "));
        }
        for (key, name) in [("anchors", "anchors"), ("input_range", "pixels 0 and 255 stand for")] {
            if metadata[key].as_array().is_some_and(|values| !values.is_empty()) {
                say!("{name}: {}", metadata[key]);
            }
        }
        if metadata["note"] != "" {
            say!("note: {}", string(&metadata["note"]));
        }
    }
    let recent: Vec<&str> = list(&report["recent_opcodes"]).iter().map(string).collect();
    if !recent.is_empty() {
        say!("older MaixPy firmware hangs on: {}", recent.join(", "));
    }
}
