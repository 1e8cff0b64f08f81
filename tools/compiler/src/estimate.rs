//! An estimate of the time that a node takes on the chip.
//!
//! KPU: `max(load, 0.7 * load + 1.025 * compute)` cycles of the KPU's clock, where a cycle computes
//! one row of KPU RAM (64 pixels, pitch included) for one pair of input and output channel, with up
//! to nine taps, and loads 2.9 bytes of weights. Fitted to published latencies of a 128 -> 128
//! channel 3x3 layer with 16-bit weights from 4x4 to 256x256 pixels; all of them are met to 11 %,
//! nine of ten to 5 % (see the test). That 1x1 layers use one of the nine taps agrees with
//! the 20 to 30 frames a second reported for MobileNetV1 at 320x240.
//!
//! CPU: one instruction a cycle; 2.5 instructions a multiplication of floats, 4 of bytes, 10 an
//! element that is copied or converted, 60 an element with an exponential or another function.

use clap::Args;
use maix_kpu::kpu::{Layer, memory::RowLayout};

/// Clocks of the chip.
#[derive(Args, Clone, Copy)]
pub struct Clocks {
    /// Clock of the CPU that the estimate of time assumes, in MHz
    #[arg(long, default_value_t = 400, value_name = "MHZ", value_parser = clap::value_parser!(u32).range(1..))]
    pub cpu_mhz: u32,
    /// Clock of the KPU that the estimate of time assumes, in MHz
    #[arg(long, default_value_t = 400, value_name = "MHZ", value_parser = clap::value_parser!(u32).range(1..))]
    pub kpu_mhz: u32,
}

/// What a node has to do.
#[derive(Clone, Copy)]
pub enum Work {
    /// A KPU layer on a batch of images.
    Kpu {
        /// The layer.
        layer: Layer,
        /// Its weights have 8 bits, not 16.
        eight_bit: bool,
        /// Images.
        batches: usize,
    },
    /// Multiplications of floats on the CPU.
    FloatMacs(u64),
    /// Multiplications of bytes on the CPU.
    ByteMacs(u64),
    /// Elements that are copied, converted, compared or added.
    Simple(u64),
    /// Elements of which an exponential or another function is taken.
    Function(u64),
}

impl Work {
    /// Multiplications, as they are executed.
    pub fn macs(&self) -> u64 {
        match self {
            Self::Kpu { layer, batches, .. } => layer.macs().saturating_mul(*batches as u64),
            Self::FloatMacs(macs) | Self::ByteMacs(macs) => *macs,
            Self::Simple(_) | Self::Function(_) => 0,
        }
    }

    /// Whether the KPU does it.
    pub fn is_kpu(&self) -> bool {
        matches!(self, Self::Kpu { .. })
    }

    /// Milliseconds on the chip, estimated.
    pub fn milliseconds(&self, clocks: Clocks) -> f64 {
        let instructions = match *self {
            Self::Kpu { layer, eight_bit, batches } => {
                let cycles = kpu_cycles(&layer, eight_bit) * batches as f64;
                return cycles / (f64::from(clocks.kpu_mhz) * 1e3);
            }
            Self::FloatMacs(macs) => 2.5 * macs as f64,
            Self::ByteMacs(macs) => 4.0 * macs as f64,
            Self::Simple(elements) => 10.0 * elements as f64,
            Self::Function(elements) => 60.0 * elements as f64,
        };
        instructions / (f64::from(clocks.cpu_mhz) * 1e3)
    }
}

fn kpu_cycles(layer: &Layer, eight_bit: bool) -> f64 {
    let layout = RowLayout::of(layer.input.width);
    let rows = (layout.line_rows * layer.input.height) as f64 / layout.group as f64;
    let pairs = layer.output.channels * layer.taps() / layer.kernel.area();
    let compute = rows * pairs as f64;
    let load = layer.weights_bytes(eight_bit) as f64 / 2.9;
    load.max(0.7 * load + 1.025 * compute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maix_kpu::{
        kpu::{Kernel, Pool},
        tensor::ImageShape,
    };

    /// Width, height, milliseconds as published (KPU at 300 MHz).
    const MEASURED: [(usize, usize, f64); 10] = [
        (4, 4, 0.339),
        (16, 4, 0.339),
        (16, 16, 0.417),
        (32, 16, 0.692),
        (32, 32, 1.138),
        (64, 32, 2.125),
        (64, 64, 3.891),
        (128, 64, 7.709),
        (128, 128, 14.778),
        (256, 256, 57.756),
    ];

    #[test]
    fn published_latencies_are_met() {
        let clocks = Clocks { cpu_mhz: 500, kpu_mhz: 300 };
        let mut errors: Vec<f64> = MEASURED
            .iter()
            .map(|&(width, height, measured)| {
                let input = ImageShape::new(128, 4, 4);
                let mut layer =
                    Layer::new(input, 128, Kernel::K3x3, false, Pool::None, false).unwrap();
                // The largest of them were timed although they leave KPU RAM.
                (layer.input.height, layer.input.width) = (height, width);
                let work = Work::Kpu { layer, eight_bit: false, batches: 1 };
                (work.milliseconds(clocks) / measured - 1.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        assert!(errors[8] < 0.05 && errors[9] < 0.11, "{errors:?}");
    }
}
