//! `kmodel info`: what a model holds, needs and takes.

use crate::{
    check::{MAIXPY_MINIMUM, needed, open},
    estimate::Clocks,
    failure::Result,
    model_file::{ModelFile, ModelPath},
    node::{kpu_ram, work},
};
use clap::Args;
use maix_kpu::model::Tensor;
use serde_json::{Value, json};

/// Arguments of `info`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelPath,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Bytes that the firmware has free; the default is that of the MaixPy minimum firmware
    #[arg(long, default_value_t = MAIXPY_MINIMUM, value_name = "BYTES")]
    free: usize,
    #[command(flatten)]
    clocks: Clocks,
}

/// Describes every model that is meant.
pub fn run(options: &Options) -> Result<()> {
    for file in options.model.read_all()? {
        let report = report(&file, options)?;
        if options.json {
            println!("{report:#}");
        } else {
            print(&report);
        }
    }
    Ok(())
}

fn tensor(tensor: &Tensor) -> Value {
    json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape })
}

fn report(file: &ModelFile, options: &Options) -> Result<Value> {
    let model = open(file)?;
    let source = &&file.bytes[..];
    let mut nodes = Vec::new();
    let (mut peak, mut macs, mut time) = (0, 0, 0.0);
    for node in model.nodes(source) {
        let node = node?;
        let output = model.node_output(source, &node)?;
        let work = work(&node.operator, &output);
        let (ram, milliseconds) = (kpu_ram(&work), work.milliseconds(options.clocks));
        peak = peak.max(ram);
        macs += work.macs();
        time += milliseconds;
        nodes.push(json!({
            "index": node.index,
            "operator": node.operator.name(),
            "runs_on": if work.is_kpu() { "KPU" } else { "CPU" },
            "output": tensor(&output),
            "body_bytes": node.size,
            "kpu_ram": ram,
            "macs": work.macs(),
            "estimated_ms": milliseconds,
        }));
    }
    let inputs = (0..model.input_count()).map(|i| Ok(tensor(&model.input(source, i)?)));
    let outputs = (0..model.output_count()).map(|i| Ok(tensor(&model.output(source, i)?)));
    let needed = needed(&model, file)?;
    Ok(json!({
        "file": file.name,
        "version": model.version(),
        "inputs": inputs.collect::<Result<Vec<_>>>()?,
        "outputs": outputs.collect::<Result<Vec<_>>>()?,
        "nodes": nodes,
        "flash": file.bytes.len(),
        "arena": model.main_memory(),
        "kpu_ram_peak": peak,
        "macs": macs,
        "estimated_ms": time,
        "trailing_bytes": file.bytes.len().saturating_sub(model.size()),
        "missing_padding": model.size().saturating_sub(file.bytes.len()),
        "needed": needed,
        "free": options.free,
        "fits": needed <= options.free,
    }))
}

fn print(report: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    println!("{}: kmodel v{}", text(&report["file"]), report["version"]);
    for list in ["inputs", "outputs"] {
        for tensor in report[list].as_array().into_iter().flatten() {
            println!("{list}: {} {} (N, C, H, W)", text(&tensor["dtype"]), tensor["shape"]);
        }
    }
    println!(
        "{:>4} {:<30} {:>3} {:>18} {:>9} {:>9} {:>12} {:>9}",
        "node", "operator", "on", "output", "bytes", "KPU RAM", "MACs", "est. ms"
    );
    for node in report["nodes"].as_array().into_iter().flatten() {
        println!(
            "{:>4} {:<30} {:>3} {:>18} {:>9} {:>9} {:>12} {:>9.3}",
            node["index"].to_string(),
            text(&node["operator"]),
            text(&node["runs_on"]),
            node["output"]["shape"].to_string(),
            node["body_bytes"].to_string(),
            node["kpu_ram"].to_string(),
            node["macs"].to_string(),
            node["estimated_ms"].as_f64().unwrap_or_default(),
        );
    }
    println!(
        "flash {} bytes, arena {} bytes, KPU RAM peak {} of 2097152 bytes, {} MACs, \
         estimated {:.1} ms on the chip",
        report["flash"],
        report["arena"],
        report["kpu_ram_peak"],
        report["macs"],
        report["estimated_ms"].as_f64().unwrap_or_default(),
    );
    for (key, what) in [
        ("trailing_bytes", "bytes stand behind the model"),
        ("missing_padding", "bytes of padding are missing at the end, which is accepted"),
    ] {
        if report[key] != 0 {
            println!("{} {what}", report[key]);
        }
    }
    let verdict = if report["fits"] == true { "fits" } else { "does not fit" };
    println!("{verdict}: needs {} of {} free bytes", report["needed"], report["free"]);
}
