//! On a K210: start-up code, the serial port, and the KPU.

use core::{arch::global_asm, panic::PanicInfo, slice};

use k210_pac::UARTHS;
use maix_kpu::kpu::{Accelerator, Hardware};

use crate::{INPUT, Memory, kernels, run};

// Stack, zeroes, floats on; core 0 alone goes on. The end is a sleep for ever.
global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start:",
    "csrw mie, zero",
    "csrr t0, mhartid",
    "bnez t0, 3f",
    "li t0, 0x6000",
    "csrs mstatus, t0",
    "la sp, _stack_top",
    "la t0, _bss_start",
    "la t1, _bss_end",
    "1: bgeu t0, t1, 2f",
    "sd zero, 0(t0)",
    "addi t0, t0, 8",
    "j 1b",
    "2: call chip_main",
    "3: wfi",
    "j 3b",
);

static mut MEMORY: Memory = Memory::new();
static mut OPERANDS: kernels::Memory = kernels::Memory::new();

#[unsafe(no_mangle)]
extern "C" fn chip_main() {
    let memory = &raw mut MEMORY;
    // SAFETY: this function runs once, and nothing else uses the memory.
    let memory = unsafe { &mut *memory };
    memory.fill();
    // The image past the cache, so that DMA is used.
    let (image, back) = (past_cache(&mut memory.image), past_cache(&mut memory.back));
    image.copy_from_slice(&memory.image);
    let Memory { parameters, scratch, .. } = memory;
    let result = Hardware::take(Some(5), scratch).and_then(|mut hardware| {
        hardware.share(parameters);
        run(&mut hardware, parameters, image, back, print_line)
    });
    let operands = &raw mut OPERANDS;
    // SAFETY: as above.
    let operands = unsafe { &mut *operands };
    operands.fill();
    kernels::run(operands, print_line);
    match result {
        Ok(()) => print("end\n"),
        Err(error) => {
            error.write(&mut send);
            print("\n");
        }
    }
}

/// The same bytes, seen past the CPU's cache.
fn past_cache(bytes: &mut [u8; INPUT.elements()]) -> &'static mut [u8] {
    let address = bytes.as_mut_ptr().wrapping_sub(0x4000_0000);
    // SAFETY: the same RAM at its other address; from here on only this view of it is written.
    unsafe { slice::from_raw_parts_mut(address, bytes.len()) }
}

fn print_line(numbers: &[u32], words: &[&str]) {
    for &number in numbers {
        print_hex(number);
        print(" ");
    }
    for word in words {
        print(word);
        print(" ");
    }
    print("\n");
}

fn print(text: &str) {
    text.bytes().for_each(send);
}

fn send(byte: u8) {
    // SAFETY: the serial port's registers, which only this program uses.
    let port = unsafe { &*UARTHS::ptr() };
    while port.txdata.read().full().bit() {}
    // SAFETY: any byte can be sent.
    port.txdata.write(|w| unsafe { w.data().bits(byte) });
}

fn print_hex(value: u32) {
    for shift in (0..8).rev() {
        let digit = (value >> (4 * shift)) as usize & 15;
        print(&"0123456789abcdef"[digit..=digit]);
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print("panicked\n");
    loop {}
}
