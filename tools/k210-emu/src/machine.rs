//! The CPU: runs code until something ends the run, and takes interrupts between blocks of code.

use std::{
    cell::Cell,
    ffi::c_void,
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, Error, Result, ensure};
use unicorn_engine::{
    Arch, HookType, MemType, Mode, Prot, RegisterRISCV as Register, Unicorn, uc_error,
};

use crate::{
    board::{Board, REGIONS},
    count::Counter,
    firmware::{Firmware, Symbols},
    memory::{BYTES, CACHED, UNCACHED},
    script::ScriptEnd,
};

/// An address where no code is.
const NOWHERE: u64 = 1;
/// Bytes that read as 0 at address 0, where the chip has its debug ROM.
const DEBUG_ROM_BYTES: u64 = 0x1_0000;

const MSTATUS_MIE: u64 = 1 << 3;
const MSTATUS_MPIE: u64 = 1 << 7;
const MSTATUS_MPP: u64 = 3 << 11;
const INTERRUPT: u64 = 1 << 63;
const MACHINE_ECALL: u64 = 11;
/// The exception numbers of `ecall`, whatever the mode.
const ECALLS: std::ops::RangeInclusive<u32> = 8..=11;

/// CSRs that the CPU emulation does not keep: pending interrupts and clocks.
const MIP: u32 = 0x344;
const CLOCKS: [u32; 5] = [0xB00, 0xB02, 0xC00, 0xC01, 0xC02];

/// Why a run ended.
#[derive(Debug)]
pub enum Stop {
    /// The firmware sleeps and nothing can wake it.
    Halted,
    /// The script is over.
    Script(ScriptEnd),
    /// An access to an address where nothing is.
    BadAccess {
        /// What was tried, such as `reads 4 bytes at 0x10`.
        what: String,
    },
    /// An exception that the firmware is not given the chance to handle.
    Trap(&'static str),
    /// Something on the chip cannot go on.
    Fault(Error),
    /// The time limit is over.
    TimeLimit(Duration),
    /// The limit of instructions is reached.
    InstructionLimit(u64),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Halted => f.write_str("the firmware sleeps and nothing can wake it"),
            Stop::Script(ScriptEnd::Finished) => f.write_str("the script has ended"),
            Stop::Script(ScriptEnd::Raised(text)) => write!(f, "the script raised:\n{text}"),
            Stop::BadAccess { what } => write!(f, "the firmware {what}, where nothing is"),
            Stop::Trap(name) => write!(f, "exception: {name}"),
            Stop::Fault(error) => write!(f, "{error:#}"),
            Stop::TimeLimit(limit) => {
                write!(f, "the time limit of {} s is over", limit.as_secs_f32())
            }
            Stop::InstructionLimit(limit) => {
                write!(f, "the limit of {limit} instructions is reached")
            }
        }
    }
}

/// What a run may cost.
#[derive(Clone, Copy, Default)]
pub struct Limits {
    /// Time on the PC's clock.
    pub time: Option<Duration>,
    /// Instructions; wants counting.
    pub instructions: Option<u64>,
}

/// What the hooks see.
struct State {
    board: Board,
    counter: Option<Box<Counter>>,
    limits: Limits,
    started: Instant,
    /// Blocks until the PC's clock is looked at again.
    until_clock: u32,
    /// The block that runs, its address and size.
    block: (u64, u32),
    /// A hook has stopped the CPU.
    hook_stopped: bool,
    stop: Option<Stop>,
}

/// A chip with firmware in it.
pub struct Machine {
    cpu: Unicorn<'static, State>,
    pc: u64,
    file: Vec<u8>,
    symbols: Rc<Symbols>,
}

impl Machine {
    /// A chip about to run the firmware in `file`: ELF, or a flat image for 0x80000000.
    pub fn new(file: Vec<u8>, mut board: Board, count: bool) -> Result<Self> {
        let firmware = Firmware::load(&file, &mut board.memory)?;
        let symbols = Rc::new(firmware.symbols);
        let state = State {
            counter: count.then(|| Box::new(Counter::new(symbols.clone()))),
            board,
            limits: Limits::default(),
            started: Instant::now(),
            until_clock: 0,
            block: (0, 0),
            hook_stopped: false,
            stop: None,
        };
        let cpu = Unicorn::new_with_data(Arch::RISCV, Mode::RISCV64, state)
            .map_err(cpu_error)
            .context("the CPU emulation does not start")?;
        let mut machine = Self { cpu, pc: firmware.entry, file, symbols };
        machine.map().map_err(cpu_error).context("mapping memory")?;
        machine.hook(&firmware.segments).map_err(cpu_error).context("setting hooks")?;
        Ok(machine)
    }

    fn map(&mut self) -> Result<(), uc_error> {
        let ram: *mut c_void = self.board().memory.as_ptr().cast();
        for base in [CACHED, UNCACHED] {
            // SAFETY: the block has BYTES bytes, stays where it is, and lives in the state that
            // the CPU emulation owns. Rust code looks at it only from hooks and between runs,
            // while the CPU stands still.
            unsafe { self.cpu.mem_map_ptr(base, BYTES as u64, Prot::ALL, ram)? };
        }
        self.cpu.mem_map(0, DEBUG_ROM_BYTES, Prot::READ)?;
        for &(base, size) in REGIONS {
            self.cpu.mmio_map(
                base,
                size,
                Some(move |cpu: &mut Unicorn<'_, State>, offset, size| {
                    let value = cpu.get_data_mut().board.read(base + offset, size);
                    stop_at_fault(cpu);
                    value
                }),
                Some(move |cpu: &mut Unicorn<'_, State>, offset, size, value| {
                    cpu.get_data_mut().board.write(base + offset, size, value);
                    stop_at_fault(cpu);
                }),
            )?;
        }
        Ok(())
    }

    fn hook(&mut self, segments: &[(u64, usize)]) -> Result<(), uc_error> {
        // From address 1 to 0 stands for everywhere.
        self.cpu.add_block_hook(1, 0, on_block)?;
        self.cpu.add_intr_hook(on_exception)?;
        self.cpu.add_mem_hook(HookType::MEM_UNMAPPED | HookType::MEM_PROT, 1, 0, on_bad_access)?;
        for (address, csr, register) in self.csr_reads(segments) {
            self.cpu.add_code_hook(address, address, move |cpu, address, _| {
                on_csr_read(cpu, address, csr, register);
            })?;
        }
        Ok(())
    }

    /// Where the code reads CSRs that we keep: address, CSR and destination register.
    fn csr_reads(&mut self, segments: &[(u64, usize)]) -> Vec<(u64, u32, i32)> {
        let memory = &self.board().memory;
        let mut found = Vec::new();
        for &(begin, size) in segments {
            let code = memory.get(begin, size).unwrap_or(&[]);
            for (n, window) in code.windows(4).enumerate().step_by(2) {
                let word = u32::from_le_bytes([window[0], window[1], window[2], window[3]]);
                let (csr, register) = (word >> 20, word >> 7 & 31);
                // csrrs register, csr, zero
                if word & 0x000F_F07F == 0x0000_2073 && (csr == MIP || CLOCKS.contains(&csr)) {
                    found.push((begin + n as u64, csr, register as i32));
                }
            }
        }
        found
    }

    /// Runs until something ends the run. A run can be gone on with.
    pub fn run(&mut self, limits: Limits) -> Stop {
        let state = self.cpu.get_data_mut();
        state.limits = limits;
        state.started = Instant::now();
        loop {
            let state = self.cpu.get_data_mut();
            if let Some(stop) = state.stop.take() {
                return stop;
            }
            if state.board.reset_requested()
                && let Err(error) = self.restart()
            {
                return Stop::Fault(error);
            }
            let state = self.cpu.get_data_mut();
            let interrupts = state.board.interrupts();
            if let Some(cause) = self.interrupt_to_take(interrupts) {
                let pc = self.pc;
                self.pc = enter_trap(&mut self.cpu, pc, cause);
            }
            let result = self.cpu.emu_start(self.pc, NOWHERE, 0, 0);
            self.pc = self.read(Register::PC);
            let state = self.cpu.get_data_mut();
            match result {
                Ok(()) if std::mem::take(&mut state.hook_stopped) => {}
                // Of itself the CPU stops only at `wfi`.
                Ok(()) => {
                    state.skip_rest_of_block(self.pc);
                    self.sleep();
                }
                // What a hook said is more exact.
                Err(_) if state.stop.is_some() => {}
                Err(uc_error::INSN_INVALID) => state.stop = Some(Stop::Trap("breakpoint")),
                Err(error) => state.stop = Some(Stop::Fault(cpu_error(error))),
            }
        }
    }

    /// What the chip does at a reset: the firmware comes from flash again, and everything begins.
    fn restart(&mut self) -> Result<()> {
        let board = self.board();
        board.reset();
        eprintln!("k210-emu: the firmware resets the chip");
        let file = std::mem::take(&mut self.file);
        let firmware = Firmware::load(&file, &mut self.board().memory);
        self.file = file;
        self.pc = firmware?.entry;
        for register in [Register::MSTATUS, Register::MIE, Register::MTVEC] {
            write(&mut self.cpu, register, 0);
        }
        self.cpu.ctl_flush_tb().map_err(cpu_error)
    }

    fn sleep(&mut self) {
        let enabled = self.read(Register::MIE);
        loop {
            let state = self.cpu.get_data_mut();
            let is_over = state.must_stop() || state.board.reset_requested();
            if is_over || state.board.interrupts() & enabled != 0 {
                return;
            }
            if !state.board.sleep() {
                state.stop = Some(Stop::Halted);
                return;
            }
        }
    }

    fn interrupt_to_take(&self, pending: u64) -> Option<u64> {
        if pending == 0 { None } else { interrupt_to_take(&self.cpu, pending) }
    }

    fn read(&self, register: Register) -> u64 {
        read(&self.cpu, register)
    }

    /// What is around the CPU.
    pub fn board(&mut self) -> &mut Board {
        &mut self.cpu.get_data_mut().board
    }

    /// The count of instructions, if they are counted.
    pub fn counter(&self) -> Option<&Counter> {
        self.cpu.get_data().counter.as_deref()
    }

    /// Counts only inside the function `name` and what it calls.
    pub fn count_in(&mut self, name: &str) -> Result<()> {
        let counter = self.cpu.get_data_mut().counter.as_mut();
        let found = counter.is_some_and(|counter| counter.count_in(name));
        ensure!(found, "the firmware has no symbol {name} to count in");
        Ok(())
    }

    /// Lets call `nth` (from 0) of the function `name` return 0 at once. Gives the count of its calls.
    pub fn fail_call(&mut self, name: &str, nth: u64) -> Result<Rc<Cell<u64>>> {
        let address = self.symbols.address(name);
        let address = address.with_context(|| format!("the firmware has no symbol {name}"))?;
        let calls = Rc::new(Cell::new(0));
        let count = calls.clone();
        let hook = move |cpu: &mut Unicorn<'_, State>, address, _| {
            let call = count.replace(count.get() + 1);
            if call == nth {
                cpu.get_data_mut().skip_rest_of_block(address);
                write(cpu, Register::X10, 0);
                let caller = read(cpu, Register::X1);
                write(cpu, Register::PC, caller);
            }
        };
        self.cpu.add_code_hook(address, address, hook).map_err(cpu_error)?;
        Ok(calls)
    }

    /// Where the CPU is: the program counter and where the function returns to.
    pub fn place(&self) -> String {
        let ra = self.read(Register::X1);
        format!("pc {}, ra {}", self.symbols.describe(self.pc), self.symbols.describe(ra))
    }
}

impl State {
    /// The block that runs is left at `address`; what follows there is a block of its own.
    fn skip_rest_of_block(&mut self, address: u64) {
        let (block, size) = self.block;
        let rest = (block + u64::from(size)).saturating_sub(address) as u32;
        if let Some(counter) = &mut self.counter {
            counter.take_back(block, address, rest, &self.board.memory);
        }
    }

    /// Whether the run is to end; says why in `stop`.
    fn must_stop(&mut self) -> bool {
        if self.stop.is_none() {
            self.stop = self.reason_to_stop();
        }
        self.stop.is_some()
    }

    fn reason_to_stop(&mut self) -> Option<Stop> {
        if let Some(error) = self.board.take_fault() {
            return Some(Stop::Fault(error));
        }
        if let Some(end) = self.board.console().end() {
            return Some(Stop::Script(end));
        }
        let time = self.limits.time.filter(|&limit| self.started.elapsed() >= limit);
        time.map(Stop::TimeLimit)
    }
}

/// Ends the run at the instruction whose access the board cannot answer.
fn stop_at_fault(cpu: &mut Unicorn<'_, State>) {
    let state = cpu.get_data_mut();
    if let Some(error) = state.board.take_fault() {
        state.stop = Some(Stop::Fault(error));
        stop(cpu);
    }
}

fn on_block(cpu: &mut Unicorn<'_, State>, address: u64, size: u32) {
    let state = cpu.get_data_mut();
    let pending = state.board.interrupts();
    if pending != 0 && interrupt_to_take(cpu, pending).is_some() {
        stop(cpu);
        return;
    }
    // Taken out for the time, since it asks the CPU too.
    if let Some(mut counter) = cpu.get_data_mut().counter.take() {
        let place = || (read(cpu, Register::X1), read(cpu, Register::X2));
        counter.add(address, size, &cpu.get_data().board.memory, place);
        let state = cpu.get_data_mut();
        if let Some(limit) = state.limits.instructions
            && counter.run() >= limit
        {
            state.stop = Some(Stop::InstructionLimit(limit));
        }
        state.counter = Some(counter);
    }
    let state = cpu.get_data_mut();
    state.block = (address, size);
    state.board.pass(size);
    // Reasons to stop are rare and looking for them takes time.
    const BLOCKS: u32 = 1000;
    match state.until_clock.checked_sub(1) {
        Some(blocks) => state.until_clock = blocks,
        None => {
            state.until_clock = BLOCKS;
            state.must_stop();
        }
    }
    if state.stop.is_some() || state.board.reset_requested() {
        stop(cpu);
    }
}

fn on_exception(cpu: &mut Unicorn<'_, State>, number: u32) {
    let pc = read(cpu, Register::PC);
    let handler = read(cpu, Register::MTVEC);
    if ECALLS.contains(&number) && handler != 0 {
        // The CPU emulation is behind the instruction already.
        let target = enter_trap(cpu, pc - 4, MACHINE_ECALL);
        write(cpu, Register::PC, target);
        return;
    }
    let state = cpu.get_data_mut();
    state.stop.get_or_insert(Stop::Trap(exception_name(number)));
    stop(cpu);
}

fn on_bad_access(
    cpu: &mut Unicorn<'_, State>,
    kind: MemType,
    address: u64,
    size: usize,
    _value: i64,
) -> bool {
    let verb = match kind {
        MemType::WRITE_UNMAPPED | MemType::WRITE_PROT => "writes",
        MemType::FETCH_UNMAPPED | MemType::FETCH_PROT => "jumps to",
        _ => "reads",
    };
    let what = match verb {
        "jumps to" => format!("jumps to {address:#x}"),
        _ => format!("{verb} {size} bytes at {address:#x}"),
    };
    cpu.get_data_mut().stop.get_or_insert(Stop::BadAccess { what });
    false
}

fn on_csr_read(cpu: &mut Unicorn<'_, State>, address: u64, csr: u32, register: i32) {
    let state = cpu.get_data_mut();
    let value = if csr == MIP { state.board.interrupts() } else { state.board.read_clock() };
    state.skip_rest_of_block(address + 4);
    if register != 0 {
        // Registers that exist can be written.
        let _ = cpu.reg_write(Register::X0 as i32 + register, value);
    }
    write(cpu, Register::PC, address + 4);
}

/// The cause of the interrupt that the CPU takes now, if it takes one.
fn interrupt_to_take(cpu: &Unicorn<'_, State>, pending: u64) -> Option<u64> {
    if read(cpu, Register::MSTATUS) & MSTATUS_MIE == 0 {
        return None;
    }
    let enabled = pending & read(cpu, Register::MIE);
    // External before software before timer.
    [11, 3, 7].into_iter().find(|number| enabled >> number & 1 != 0).map(|n| INTERRUPT | n)
}

/// Does what the CPU does at a trap; gives the address where it goes on.
fn enter_trap(cpu: &mut Unicorn<'_, State>, pc: u64, cause: u64) -> u64 {
    let status = read(cpu, Register::MSTATUS);
    let previous = if status & MSTATUS_MIE != 0 { MSTATUS_MPIE } else { 0 };
    let status = status & !(MSTATUS_MIE | MSTATUS_MPIE) | previous | MSTATUS_MPP;
    write(cpu, Register::MSTATUS, status);
    write(cpu, Register::MEPC, pc);
    write(cpu, Register::MCAUSE, cause);
    let vector = read(cpu, Register::MTVEC);
    let is_vectored = vector & 1 != 0 && cause & INTERRUPT != 0;
    let offset = if is_vectored { 4 * (cause & !INTERRUPT) } else { 0 };
    (vector & !3) + offset
}

// Registers that exist can be read and written, and a CPU that runs can be stopped: the CPU
// emulation has no other errors there.

fn read(cpu: &Unicorn<'_, State>, register: Register) -> u64 {
    cpu.reg_read(register).unwrap_or_default()
}

fn write(cpu: &mut Unicorn<'_, State>, register: Register, value: u64) {
    let _ = cpu.reg_write(register, value);
}

fn stop(cpu: &mut Unicorn<'_, State>) {
    cpu.get_data_mut().hook_stopped = true;
    let _ = cpu.emu_stop();
}

fn exception_name(number: u32) -> &'static str {
    match number {
        0 => "instruction address misaligned",
        1 => "instruction access fault",
        2 => "illegal instruction",
        3 => "breakpoint",
        4 => "load address misaligned",
        5 => "load access fault",
        6 => "store address misaligned",
        7 => "store access fault",
        8..=11 => "ecall before a trap handler is set",
        _ => "of an unknown number",
    }
}

fn cpu_error(error: uc_error) -> Error {
    Error::msg(format!("the CPU emulation says {error:?}"))
}
