//! On a PC: the simulator.

use maix_kpu::kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES};

use crate::{Memory, kernels, run};

/// Runs the layers by the plain simulator, and the kernels.
pub fn main() {
    let mut memory = Box::new(Memory::new());
    memory.fill();
    let Memory { parameters, image, back, .. } = &mut *memory;
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let result = Simulator::new(&mut ram, &mut scratch)
        .and_then(|simulator| run(&mut simulator.reference(), parameters, image, back, print_line));
    let mut operands = Box::new(kernels::Memory::new());
    operands.fill();
    kernels::run(&mut operands, print_line);
    match result {
        Ok(()) => println!("end"),
        Err(error) => println!("{error}"),
    }
}

fn print_line(numbers: &[u32], words: &[&str]) {
    numbers.iter().for_each(|number| print!("{number:08x} "));
    words.iter().for_each(|word| print!("{word} "));
    println!();
}
