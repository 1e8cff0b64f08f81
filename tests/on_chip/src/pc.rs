//! On a PC: the simulator.

use maix_kpu::kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES};

use crate::{Memory, run};

/// Runs everything by the plain simulator.
pub fn main() {
    let mut memory = Box::new(Memory::new());
    memory.fill();
    let Memory { parameters, image, back, .. } = &mut *memory;
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let result = Simulator::new(&mut ram, &mut scratch).and_then(|simulator| {
        run(&mut simulator.reference(), parameters, image, back, |name, crc| {
            println!("{crc:08x} {name}");
        })
    });
    match result {
        Ok(()) => println!("end"),
        Err(error) => println!("{error}"),
    }
}
