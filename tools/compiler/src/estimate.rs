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
//! element that is copied or converted, 60 an element with an exponential or another function, 20,000
//! for any node.

use maix_kpu::{
    kpu::{Layer, memory::RowLayout},
    model::{
        Model, Node, Operator, Source, Tensor, node::KpuConv, v3::layer::Operator as V3,
        v4::operator::Operator as V4,
    },
};

use crate::{emit::Emitted, program::Program};

/// Clocks of the chip in MHz.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Of the CPU.
    pub cpu_mhz: u32,
    /// Of the KPU.
    pub kpu_mhz: u32,
}

impl Clocks {
    /// Those of MaixPy's firmwares.
    pub const USUAL: Self = Self { cpu_mhz: 400, kpu_mhz: 400 };
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
    /// What a node that writes `output` has to do.
    pub fn of(node: &Node, output: &Tensor) -> Self {
        if let Some(KpuConv { layer, batches, eight_bit }) = node.kpu_conv() {
            return Self::Kpu { layer, eight_bit, batches };
        }
        let elements = output.elements() as u64;
        let [weights, bias, _] = node.operands.parameters.map(|p| p.map_or(0, |p| p.span.len));
        let taps = |weights: usize, outputs: usize| elements * (weights / outputs.max(1)) as u64;
        match node.operator() {
            Operator::V3(V3::FullyConnected(body)) => {
                Self::FloatMacs(u64::from(body.in_channels) * u64::from(body.out_channels))
            }
            Operator::V4(V4::Conv2d(_) | V4::CpuConv2d(_) | V4::CpuDepthwise(_)) => {
                Self::FloatMacs(taps(weights, bias))
            }
            Operator::V4(V4::Conv2dTranspose(body)) => {
                let [_, channels, ..] = body.input_shape.sizes();
                let filters = weights / 4 / channels.max(1);
                Self::FloatMacs(body.input_shape.elements() as u64 * filters as u64)
            }
            Operator::V4(
                V4::QuantizedConv2d(_) | V4::CpuQuantizedConv2d(_) | V4::CpuQuantizedDepthwise(_),
            ) => Self::ByteMacs(taps(weights, bias / 4)),
            Operator::V4(V4::MatMul(body)) => Self::FloatMacs(elements * body.a_cols as u64),
            Operator::V4(V4::QuantizedMatMul(body)) => {
                Self::ByteMacs(elements * body.a_cols as u64)
            }
            Operator::V3(V3::Softmax(_) | V3::Logistic(_))
            | Operator::V4(V4::Softmax(_) | V4::Unary(_) | V4::Nnil(_)) => Self::Function(elements),
            Operator::V4(_) => {
                let read = match node.operands.inputs {
                    [Some(input), None] => input.range.elements(),
                    _ => 0,
                };
                Self::Simple(elements.max(read as u64))
            }
            Operator::V3(V3::GlobalAveragePool(body)) => {
                Self::Simple(elements * u64::from(body.kernel_size))
            }
            Operator::V3(V3::QuantizedMaxPool(body) | V3::AveragePool(body)) => Self::Simple(
                elements * u64::from(body.kernel_width) * u64::from(body.kernel_height),
            ),
            Operator::V3(_) => Self::Simple(elements),
        }
    }

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
        let mut kpu = 0.0;
        let instructions = match *self {
            Self::Kpu { layer, eight_bit, batches } => {
                kpu = kpu_cycles(&layer, eight_bit) * batches as f64;
                0.0
            }
            Self::FloatMacs(macs) => 2.5 * macs as f64,
            Self::ByteMacs(macs) => 4.0 * macs as f64,
            Self::Simple(elements) => 10.0 * elements as f64,
            Self::Function(elements) => 60.0 * elements as f64,
        };
        let cpu = NODE_INSTRUCTIONS + instructions;
        kpu / (f64::from(clocks.kpu_mhz) * 1e3) + cpu / (f64::from(clocks.cpu_mhz) * 1e3)
    }
}

/// What the CPU does for any node: reading and checking it, and for a KPU layer the registers. Counted
/// in the emulator for v3_mbnet75, without what copies data.
const NODE_INSTRUCTIONS: f64 = 20_000.0;

fn kpu_cycles(layer: &Layer, eight_bit: bool) -> f64 {
    let layout = RowLayout::of(layer.input.width);
    let rows = (layout.line_rows * layer.input.height) as f64 / layout.group as f64;
    let pairs = layer.output.channels * layer.taps() / layer.kernel.area();
    let compute = rows * pairs as f64;
    let load = layer.weights_bytes(eight_bit) as f64 / 2.9;
    load.max(0.7 * load + 1.025 * compute)
}

/// Milliseconds that each step of a program takes on the chip, estimated from its kmodel.
pub fn milliseconds(program: &Program, emitted: &Emitted) -> Vec<f64> {
    let source: &dyn Source = &&emitted.kmodel[..];
    let model = Model::open(source).expect("what is emitted loads");
    let mut times = vec![0.0; program.steps.len()];
    for (node, &step) in model.nodes(source).zip(&emitted.steps) {
        let node = node.expect("checked");
        let output = model.node_output(source, &node).expect("checked");
        times[step] += Work::of(&node, &output).milliseconds(Clocks::USUAL);
    }
    times
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
        let mut errors: Vec<f64> = MEASURED
            .iter()
            .map(|&(width, height, measured)| {
                let input = ImageShape::new(128, 4, 4);
                let mut layer =
                    Layer::new(input, 128, Kernel::K3x3, false, Pool::None, false).unwrap();
                // The largest of them were timed although they leave KPU RAM.
                (layer.input.height, layer.input.width) = (height, width);
                let milliseconds = kpu_cycles(&layer, false) / 300e3;
                (milliseconds / measured - 1.0).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        assert!(errors[8] < 0.05 && errors[9] < 0.11, "{errors:?}");
    }
}
