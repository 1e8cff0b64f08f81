//! `kmodel`: inspects, runs, checks and compiles kmodels.

#[macro_use]
mod output;

mod boxes;
mod check;
mod clocks;
mod compare;
mod compile;
mod dot;
mod failure;
mod given;
mod graph;
mod infer;
mod info;
mod machine;
mod model_file;
mod node;
mod npy;
mod pack;
mod package;
mod picture;
mod profile;
mod progress;
mod reference;
mod run;
mod text;
mod unpack;
mod view;

use clap::{ArgAction, Parser, Subcommand};
use std::process::ExitCode;

/// Inspects, runs, checks and compiles K210 kmodels.
///
/// Exit status: 0 done, 1 the model or an input is at fault, 2 the call is. Called through a link named
/// ncc, the commands compile and infer take the command lines of nncase 0.2.
#[derive(Parser)]
#[command(
    name = "kmodel",
    bin_name = "kmodel",
    version,
    disable_version_flag = true,
    propagate_version = true
)]
struct Arguments {
    /// Print version
    #[arg(short = 'V', short_alias = 'v', long, action = ArgAction::Version, global = true)]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what a model holds, needs and (estimated) how long it takes on the chip
    Info(info::InfoOptions),
    /// Runs a model, bit for bit as the chip does
    Run(run::RunOptions),
    /// Tells whether a model loads and fits
    Check(check::CheckOptions),
    /// Compiles a .tflite or .onnx model to a kmodel
    Compile(Box<compile::CompileOptions>),
    /// Runs a model on every file of a folder
    Infer(infer::InferOptions),
    /// Writes the graph as one self-contained HTML page
    View(view::ViewOptions),
    /// Shows where the values of two models begin to differ, and by how much
    Compare(compare::CompareOptions),
    /// Puts models and firmware into a .kfpkg with their flash addresses
    Pack(pack::PackOptions),
    /// Takes the files out of a .kfpkg
    Unpack(unpack::UnpackOptions),
}

fn main() -> ExitCode {
    let one = |result: failure::Result<()>| result.map_err(|failure| vec![failure]);
    let result = match Arguments::parse().command {
        Command::Info(options) => one(info::run(&options)),
        Command::Run(options) => one(run::run(&options)),
        Command::Check(options) => one(check::run(&options)),
        Command::Compile(options) => compile::run(&options),
        Command::Infer(options) => one(infer::run(&options)),
        Command::View(options) => one(view::run(&options)),
        Command::Compare(options) => one(compare::run(&options)),
        Command::Pack(options) => one(pack::run(&options)),
        Command::Unpack(options) => one(unpack::run(&options)),
    };
    let Err(failures) = result else { return ExitCode::SUCCESS };
    for failure in failures {
        eprintln!("error: {}", failure.what);
        if !failure.hint.is_empty() {
            eprintln!("  hint: {}", failure.hint);
        }
    }
    ExitCode::FAILURE
}
