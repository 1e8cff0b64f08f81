//! What steps cost on the chip, estimated: for choosing between KPU and CPU, and for the report.

use crate::program::{Program, Step, StepOp};

/// Multiply-accumulates of the KPU in a second, estimated from published measurements of 3x3 layers
/// (16-bit weights, 300 MHz) at 400 MHz.
const KPU_MACS_PER_SECOND: f64 = 210e9;
/// Bytes of weights that the KPU loads in a second.
const KPU_WEIGHT_BYTES_PER_SECOND: f64 = 870e6;
/// Multiply-accumulates of the CPU in a second.
const CPU_MACS_PER_SECOND: f64 = 160e6;
/// Elements that the CPU moves or converts in a second.
const CPU_ELEMENTS_PER_SECOND: f64 = 40e6;

/// Seconds that a KPU layer takes over an image of `size` (height, width) with so many weights.
pub fn kpu_layer(size: [usize; 2], weights: usize) -> f64 {
    // The KPU works on lines of 64 pixels and before pooling.
    let pixels = size[0] as f64 * size[1].next_multiple_of(64) as f64;
    let weights = weights as f64;
    (pixels * weights / KPU_MACS_PER_SECOND).max(weights / KPU_WEIGHT_BYTES_PER_SECOND)
}

/// Seconds in which the CPU moves or converts so many elements.
pub fn moved(elements: usize) -> f64 {
    elements as f64 / CPU_ELEMENTS_PER_SECOND
}

/// Seconds in which the CPU does so many multiply-accumulates.
pub fn cpu_macs(macs: usize) -> f64 {
    macs as f64 / CPU_MACS_PER_SECOND
}

/// Seconds of a step.
pub fn seconds(program: &Program, step: &Step) -> f64 {
    let out = program.values[step.writes[0]].elements();
    let [input, channels, height, width] = {
        let value = &program.values[step.reads[0]];
        [value.elements(), value.shape[1], value.shape[2], value.shape[3]]
    };
    match &step.op {
        StepOp::Kpu(layer) => {
            let download = if step.writes.len() > 1 { moved(out) } else { 0.0 };
            kpu_layer([height, width], layer.parameters.weights.len()) + download
        }
        StepOp::Conv2d { weights, bias, .. } => cpu_macs(out * (weights.len() / bias.len())),
        StepOp::ConvTranspose { weights, .. } => cpu_macs(input * weights.len() / channels),
        StepOp::MatMul { size, .. } | StepOp::QuantizedMatMul { size, .. } => {
            cpu_macs(size.iter().product())
        }
        StepOp::ReduceWindow { window, .. } => {
            cpu_macs(out * window.kernel.iter().product::<usize>())
        }
        _ => moved(out.max(input)),
    }
}
