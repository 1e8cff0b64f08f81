//! Any bytes that load as a small model: it runs, the plain and the fast simulator and every way
//! to read the file give the same bits, and every output can be read.
#![no_main]

use kmodel_samples::Streamed;
use libfuzzer_sys::fuzz_target;
use maix_kpu::{
    error::{Error, Result},
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Source},
    session::{Requirements, Session},
};
use maix_kpu_fuzz::{kpu_macs, load};
use std::cell::RefCell;

/// Limits that keep a run short.
const MAX_MEMORY: usize = 16 << 10;
const MAX_NODES: u32 = 64;
const MAX_MACS: u64 = 1 << 22;

/// KPU RAM and the simulator's scratch, used again and again.
struct Memory {
    ram: Vec<u8>,
    scratch: Vec<u8>,
}

thread_local! {
    static MEMORY: RefCell<Memory> =
        RefCell::new(Memory { ram: vec![0; KPU_RAM_BYTES], scratch: vec![0; SCRATCH_BYTES] });
}

/// The outputs of a run on bytes that count up.
fn run(
    model: Model,
    source: &dyn Source,
    memory: &mut Memory,
    reference: bool,
) -> Result<Vec<Vec<u8>>, Error> {
    memory.ram.fill(0);
    let mut simulator = Simulator::new(&mut memory.ram, &mut memory.scratch)?;
    if reference {
        simulator = simulator.reference();
    }
    let mut own = vec![0; Requirements::of(&model, source)?.bytes()];
    let mut session = Session::new(model, source, &mut own)?;
    let inputs: Vec<Vec<u8>> = (0..model.input_count())
        .map(|index| Ok((0..session.input(index)?.elements()).map(|i| i as u8).collect()))
        .collect::<Result<_>>()?;
    let inputs: Vec<Input> = inputs.iter().map(|bytes| Input::Bytes(bytes)).collect();
    session.forward_traced(&mut simulator, &inputs, &mut ())?;
    (0..session.output_count())
        .map(|index| {
            let mut bytes = vec![0; session.output(index)?.bytes()];
            session.read_output(&mut simulator, index, &mut bytes)?;
            Ok(bytes)
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let source = &data;
    let Ok(model) = load(source) else { return };
    if model.main_memory() > MAX_MEMORY
        || model.node_count() > MAX_NODES
        || model.input_count() > 8
        || model.output_count() > 64
        || kpu_macs(&model, source) > MAX_MACS
    {
        return;
    }
    MEMORY.with_borrow_mut(|memory| {
        let fast = run(model, source, memory, false);
        assert_eq!(run(model, source, memory, true), fast, "plain and fast");
        assert_eq!(run(model, &Streamed(data), memory, false), fast, "from memory and from a file");
    });
});
