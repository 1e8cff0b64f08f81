//! Builds the test programs and runs them.

use std::{cell::RefCell, path::PathBuf, process::Command, rc::Rc, sync::Mutex, time::Duration};

use k210_emu::{
    board::Board,
    console::{Console, Input},
    devices::flash::Flash,
    machine::{Limits, Machine, Stop},
};

const COMPILER: &str = "riscv64-unknown-elf-gcc";

/// Compiles `tests/programs/NAME.c`; `None`, with a visible line, where there is no compiler.
pub fn build(name: &str) -> Option<PathBuf> {
    if Command::new(COMPILER).arg("--version").output().is_err() {
        println!("skipped: there is no {COMPILER}");
        return None;
    }
    // Tests that run the same program build it one after the other.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock();
    let programs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let elf = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.elf"));
    let status = Command::new(COMPILER)
        .args(["-march=rv64imafc_zicsr", "-mabi=lp64f", "-mcmodel=medany", "-O2", "-g", "-Wall"])
        .args([
            "-Werror",
            "-ffreestanding",
            "-nostdlib",
            "-nostartfiles",
            "-Wl,--no-warn-rwx-segments",
        ])
        .arg(format!("-T{}", programs.join("link.ld").display()))
        .args([programs.join("start.S"), programs.join(format!("{name}.c"))])
        .arg("-lgcc")
        .arg("-o")
        .arg(&elf)
        .status()
        .expect("the compiler runs");
    assert!(status.success(), "{name}.c does not compile");
    Some(elf)
}

/// Types a text; keeps what is sent.
struct Scripted {
    typed: Vec<u8>,
    output: Rc<RefCell<Vec<u8>>>,
}

impl Console for Scripted {
    fn output(&mut self, byte: u8) {
        self.output.borrow_mut().push(byte);
    }

    fn input(&mut self) -> Input {
        if self.typed.is_empty() { Input::End } else { Input::Byte(self.typed.remove(0)) }
    }
}

/// A program in a chip.
pub struct Run {
    /// The chip.
    pub machine: Machine,
    output: Rc<RefCell<Vec<u8>>>,
}

impl Run {
    /// Puts the test program `name` into a chip; the console types `typed`.
    pub fn new(name: &str, typed: &str, flash: Flash) -> Option<Self> {
        let elf = std::fs::read(build(name)?).expect("the program is there");
        let output = Rc::default();
        let console = Scripted { typed: typed.as_bytes().to_vec(), output: Rc::clone(&output) };
        let board = Board::new(flash, Box::new(console), false);
        let machine = Machine::new(elf, board, true).expect("the chip starts");
        Some(Self { machine, output })
    }

    /// Runs until something ends it. The limits are far beyond what the programs need.
    pub fn run(&mut self) -> Stop {
        self.run_for(100_000_000)
    }

    /// Runs at most so many instructions.
    pub fn run_for(&mut self, instructions: u64) -> Stop {
        let time = Some(Duration::from_secs(120));
        self.machine.run(Limits { time, instructions: Some(instructions) })
    }

    /// What the program has sent.
    pub fn output(&self) -> String {
        String::from_utf8(self.output.borrow().clone()).expect("text")
    }
}
