//! `kmodel view`: the graph of a model as one self-contained page.

use crate::{
    check::open,
    clocks::ClockOptions,
    failure::{Failure, Result},
    graph::{self, Origin},
    info,
    model_file::{ModelFile, ModelPath},
    profile::Room,
};
use clap::Args;
use serde_json::Value;
use std::{fs, path::PathBuf};

/// Arguments of `view`.
#[derive(Args)]
pub struct ViewOptions {
    #[command(flatten)]
    model: ModelPath,
    /// The page to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    room: Room,
    #[command(flatten)]
    clocks: ClockOptions,
}

/// The page; `@DATA@` stands for the model.
const PAGE: &str = include_str!("view.html");

/// Writes the page.
pub fn run(options: &ViewOptions) -> Result<()> {
    let file = options.model.read_one()?;
    let data = data(&file, options)?;
    // Inside a script element `<` could end it.
    let page = PAGE.replacen("@DATA@", &data.to_string().replace('<', "\\u003c"), 1);
    fs::write(&options.output, page).map_err(|e| Failure::file(&options.output, e))?;
    say!("wrote {}", options.output.display());
    Ok(())
}

/// What `kmodel info --json` prints, with the names of those that each node and output reads from.
fn data(file: &ModelFile, options: &ViewOptions) -> Result<Value> {
    let mut data = info::report(file, options.room, options.clocks.clocks())?;
    let model = open(file)?;
    let source = &&file.bytes[..];
    let steps = graph::steps(&model, source)?;
    for (index, step) in steps.iter().enumerate() {
        let mut from: Vec<String> =
            step.reads.iter().flat_map(|read| &read.origins).map(name).collect();
        from.dedup();
        data["nodes"][index]["from"] = from.into();
    }
    for index in 0..model.output_count() {
        let tensor = model.output(source, index)?;
        let origins = graph::writers(&model, source, &tensor, &steps)?;
        data["outputs"][index as usize]["from"] =
            origins.iter().map(name).collect::<Vec<_>>().into();
    }
    Ok(data)
}

fn name(origin: &Origin) -> String {
    match origin {
        Origin::Input(index) => format!("input-{index}"),
        Origin::Node(index) => format!("node-{index}"),
    }
}
