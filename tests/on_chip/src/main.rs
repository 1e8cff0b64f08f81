//! Runs chains of layers and prints a CRC-32 of KPU RAM behind each: by the KPU on a K210, by the
//! simulator on a PC. Then runs CPU kernels and prints a CRC-32 of what each computes.
//! `run.sh` compares what the two print.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod chip;
mod kernels;
#[cfg(not(target_os = "none"))]
mod pc;

use maix_kpu::{
    crc::CRC,
    error::Result,
    kpu::{ACTIVATION_BYTES, Accelerator, Job, Kernel, Layer, Pool, memory},
    tensor::ImageShape,
};

#[cfg(not(target_os = "none"))]
fn main() {
    pc::main();
}

const LAYERS: usize = 6;
/// Room for each parameter of a layer.
const PARAMETER_BYTES: usize = 8192;
/// The input, without gaps in KPU RAM.
const INPUT: ImageShape = ImageShape::new(3, 10, 64);
/// Bytes of KPU RAM that the layers use, at most.
const USED: usize = 64 * 1024;

/// What a run needs besides the accelerator.
#[repr(C, align(256))]
struct Memory {
    parameters: [u8; LAYERS * 3 * PARAMETER_BYTES],
    scratch: [u8; 4 * PARAMETER_BYTES],
    image: [u8; INPUT.elements()],
    back: [u8; INPUT.elements()],
}

impl Memory {
    const fn new() -> Self {
        Self {
            parameters: [0; LAYERS * 3 * PARAMETER_BYTES],
            scratch: [0; 4 * PARAMETER_BYTES],
            image: [0; INPUT.elements()],
            back: [0; INPUT.elements()],
        }
    }

    fn fill(&mut self) {
        let mut state = 1u32;
        for byte in self.parameters.iter_mut().chain(&mut self.image) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
    }
}

/// Runs all layers; `print` gets a CRC-32 and a name.
fn run(
    accelerator: &mut impl Accelerator,
    parameters: &[u8],
    image: &[u8],
    back: &mut [u8],
    mut print: impl FnMut(&[u32], &[&str]),
) -> Result<()> {
    for (name, eight_bit, skip) in [
        ("8-bit weights", [true; LAYERS], 0),
        ("16-bit weights", [false; LAYERS], 0),
        ("both", [true, false, false, true, true, false], 0),
        ("misaligned parameters", [true; LAYERS], 3),
    ] {
        let chain = chain(&parameters[skip..], eight_bit)?;
        for length in 1..=LAYERS {
            accelerator.ram()[..USED].fill(0);
            accelerator.upload(0, INPUT, image)?;
            accelerator.run(&chain[..length])?;
            print(&[CRC.checksum(&accelerator.ram()[..USED])], &[name]);
        }
    }
    accelerator.download(0, INPUT, back)?;
    print(&[CRC.checksum(back)], &["the image again"]);
    let cut = ImageShape { width: INPUT.width - 1, ..INPUT };
    accelerator.download(0, cut, &mut back[..cut.elements()])?;
    print(&[CRC.checksum(back)], &["the image without its last column"]);
    Ok(())
}

/// Layers each of which reads what the one before has written.
fn chain(parameters: &[u8], eight_bit: [bool; LAYERS]) -> Result<[Job<'_>; LAYERS]> {
    let nothing = layer(INPUT, 0, 0, true)?;
    let job =
        Job { layer: nothing, batch_norm: &[], activation: &[], weights: &[], eight_bit: true };
    let mut jobs = [job; LAYERS];
    let mut parts = parameters.chunks(PARAMETER_BYTES);
    let mut part = |length| &parts.next().unwrap_or_default()[..length];
    let (mut input, mut row) = (INPUT, 0);
    for (index, (job, eight_bit)) in jobs.iter_mut().zip(eight_bit).enumerate() {
        let layer = layer(input, index, row, eight_bit)?;
        (input, row) = (layer.output, layer.dst_row);
        *job = Job {
            layer,
            batch_norm: part(layer.batch_norm_bytes()),
            activation: part(ACTIVATION_BYTES),
            weights: part(layer.weights_bytes(eight_bit)),
            eight_bit,
        };
    }
    Ok(jobs)
}

/// Layer `index` of a chain, over an image at `row`.
fn layer(input: ImageShape, index: usize, row: usize, eight_bit: bool) -> Result<Layer> {
    let (channels, kernel, depthwise, pool) = match index % 4 {
        0 => (17, Kernel::K3x3, false, Pool::Max2),
        1 => (input.channels, Kernel::K3x3, true, Pool::None),
        2 => (24, Kernel::K1x1, false, Pool::None),
        _ => (9, Kernel::K3x3, false, Pool::LeftTop2),
    };
    let mut layer = Layer::new(input, channels, kernel, depthwise, pool, eight_bit)?;
    layer.src_row = row;
    layer.dst_row = row + memory::rows(input);
    layer.pad_value = 7;
    Ok(layer)
}
