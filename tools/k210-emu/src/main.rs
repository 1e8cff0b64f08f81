//! `k210-emu`: runs firmware of the Kendryte K210 on a PC.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use k210_emu::{
    board::{Board, Fault},
    console::{Console, Terminal},
    devices::flash::Flash,
    machine::{Limits, Machine, Stop},
    script::{Script, ScriptEnd},
};
use maix_kpu::kpu::Rounding;

/// Seconds that a script may take, if nothing else is said.
const SCRIPT_SECONDS: f32 = 60.0;

/// Runs firmware of the Kendryte K210, with the KPU computing as the chip's does.
///
/// Standard input and output are the firmware's serial port (UARTHS). With --script, the script
/// runs in the firmware's raw REPL and standard output is what it prints.
///
/// Exit status: 0 the firmware sleeps for ever or the script has ended; 1 the script raised;
/// 2 wrong usage; 3 a trap, an access to nowhere, or something that is not emulated; 4 a limit is
/// reached. At a reset that the firmware asks for, it starts again.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The firmware: an ELF file, or a flat image for address 0x80000000.
    firmware: PathBuf,
    /// Puts a file into the flash chip.
    #[arg(long, value_name = "ADDRESS=FILE", value_parser = parse_file)]
    flash: Vec<(usize, PathBuf)>,
    /// Puts a file into the fuses (OTP), which are not blown elsewhere.
    #[arg(long, value_name = "ADDRESS=FILE", value_parser = parse_file)]
    fuses: Vec<(usize, PathBuf)>,
    /// Writes the whole flash chip to a file at the end; `--flash 0=FILE` brings it back.
    #[arg(long, value_name = "FILE")]
    flash_out: Option<PathBuf>,
    /// Runs a script in MicroPython's raw REPL; several run one after the other until one raises.
    #[arg(long, value_name = "FILE")]
    script: Vec<PathBuf>,
    /// Stops after so many seconds [default: 60 with --script, else none].
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f32>,
    /// Stops after so many instructions.
    #[arg(long, value_name = "COUNT")]
    max_instructions: Option<u64>,
    /// Prints each layer that the KPU computes, with a CRC-32 of its result.
    #[arg(long)]
    trace_kpu: bool,
    /// Prints how many instructions were run, in all and by function.
    #[arg(long)]
    count: bool,
    /// Counts only inside this function and what it calls, call by call.
    #[arg(long, value_name = "FUNCTION")]
    count_in: Option<String>,
    /// Rounds halves of the KPU's activations up, not to even.
    #[arg(long)]
    half_up: bool,
    /// Lets something go wrong: layer N of the KPU (from 0) or DMA transfer N never ends; or the
    /// next read of a flash address gives ones.
    #[arg(long, value_name = "kpu=N|dma=N|flash=ADDRESS", value_parser = parse_fault)]
    fault: Vec<Fault>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("k210-emu: error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let file = read(&arguments.firmware)?;
    let mut flash = Flash::new();
    fill(flash.bytes_mut(), "16 MiB flash chip", &arguments.flash)?;
    let scripts: Vec<_> = arguments.script.iter().map(|path| read(path)).collect::<Result<_>>()?;
    let has_script = !scripts.is_empty();
    let console: Box<dyn Console> = match has_script {
        true => Box::new(Script::new(scripts, Box::new(io::stderr()), Box::new(io::stdout()))),
        false => Box::new(Terminal::new()),
    };
    let mut board = Board::new(flash, console, arguments.trace_kpu);
    fill(board.fuses_mut(), "16 KiB of fuses", &arguments.fuses)?;
    if arguments.half_up {
        board.set_rounding(Rounding::HalfUp);
    }
    arguments.fault.iter().for_each(|&fault| board.inject(fault));
    let show_count = arguments.count || arguments.count_in.is_some();
    let count = show_count || arguments.max_instructions.is_some();
    let mut machine = Machine::new(file, board, count)
        .with_context(|| arguments.firmware.display().to_string())?;
    if let Some(name) = &arguments.count_in {
        machine.count_in(name)?;
    }

    let seconds = arguments.timeout.or(has_script.then_some(SCRIPT_SECONDS));
    let time = seconds.map(Duration::try_from_secs_f32).transpose().context("--timeout")?;
    let stop = machine.run(Limits { time, instructions: arguments.max_instructions });

    if let (Some(path), Some(flash)) = (&arguments.flash_out, machine.board().flash()) {
        fs::write(path, flash.bytes()).with_context(|| path.display().to_string())?;
    }
    if show_count && let Some(counter) = machine.counter() {
        eprint!("{}", counter.report());
    }
    Ok(report(&stop, &machine))
}

fn report(stop: &Stop, machine: &Machine) -> ExitCode {
    let code = match stop {
        Stop::Halted | Stop::Script(ScriptEnd::Finished) => return ExitCode::SUCCESS,
        Stop::Script(ScriptEnd::Raised(traceback)) => {
            eprint!("{traceback}");
            return ExitCode::from(1);
        }
        Stop::BadAccess { .. } | Stop::Trap(_) | Stop::Fault(_) => 3,
        Stop::TimeLimit(_) | Stop::InstructionLimit(_) => 4,
    };
    eprintln!("k210-emu: {stop}\n  at {}", machine.place());
    ExitCode::from(code)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Puts files into a memory.
fn fill(memory: &mut [u8], what: &str, files: &[(usize, PathBuf)]) -> Result<()> {
    for (address, path) in files {
        let content = read(path)?;
        let place = memory.get_mut(*address..).and_then(|b| b.get_mut(..content.len()));
        place
            .with_context(|| {
                let (path, bytes) = (path.display(), content.len());
                format!("{path}: {bytes} bytes at {address:#x} do not fit in the {what}")
            })?
            .copy_from_slice(&content);
    }
    Ok(())
}

fn parse_file(text: &str) -> Result<(usize, PathBuf), String> {
    let (address, path) = text.split_once('=').ok_or("wanted ADDRESS=FILE")?;
    Ok((parse_number(address)? as usize, path.into()))
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let (kind, number) = text.split_once('=').ok_or("wanted kpu=N, dma=N or flash=ADDRESS")?;
    let number = parse_number(number)?;
    match kind {
        "kpu" => Ok(Fault::Kpu(number)),
        "dma" => Ok(Fault::Dma(number)),
        "flash" => Ok(Fault::Flash(number)),
        _ => Err(format!("{kind} cannot be made to fail; wanted kpu, dma or flash")),
    }
}

fn parse_number(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    }
    .map_err(|error| format!("{text}: {error}"))
}
