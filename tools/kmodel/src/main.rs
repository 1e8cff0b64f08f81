//! `kmodel`: inspects, runs and checks kmodels.

mod boxes;
mod check;
mod estimate;
mod failure;
mod given;
mod graph;
mod info;
mod machine;
mod model_file;
mod node;
mod npy;
mod picture;
mod profile;
mod run;
mod text;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Inspects, runs and checks K210 kmodels.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what a model holds, needs and (estimated) how long it takes on the chip
    Info(info::Options),
    /// Runs a model, bit for bit as the chip does
    Run(run::Options),
    /// Tells whether a model loads and fits
    Check(check::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Info(options) => info::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Check(options) => check::run(&options),
    };
    let Err(failure) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {}", failure.what);
    if !failure.hint.is_empty() {
        eprintln!("  hint: {}", failure.hint);
    }
    ExitCode::FAILURE
}
