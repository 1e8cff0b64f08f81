//! What a node has to do, for tables and estimates.

use crate::estimate::Work;
use maix_kpu::{
    kpu::Pool,
    model::{Operator, Tensor, v3::layer::Operator as V3, v4::operator::Operator as V4},
};

/// The work of a node that writes `output`.
pub fn work(operator: &Operator, output: &Tensor) -> Work {
    let elements = output.elements() as u64;
    let taps = |weights: usize, outputs: usize| elements * (weights / outputs.max(1)) as u64;
    match operator {
        Operator::V3(V3::Conv(conv)) => {
            Work::Kpu { layer: conv.layer, eight_bit: conv.eight_bit, batches: 1 }
        }
        Operator::V4(V4::KpuConv(conv)) => {
            Work::Kpu { layer: conv.layer, eight_bit: true, batches: conv.batches }
        }
        Operator::V3(V3::FullyConnected(body, _)) => {
            Work::FloatMacs(u64::from(body.in_channels) * u64::from(body.out_channels))
        }
        Operator::V4(V4::Conv2d(_, w) | V4::CpuConv2d(_, w) | V4::CpuDepthwise(_, w)) => {
            Work::FloatMacs(taps(w.weights.len, w.bias.len))
        }
        Operator::V4(V4::Conv2dTranspose(body, w)) => {
            let [_, channels, ..] = body.input_shape.0;
            let filters = w.weights.len / 4 / channels.max(1);
            Work::FloatMacs(body.input_shape.elements() as u64 * filters as u64)
        }
        Operator::V4(
            V4::QuantizedConv2d(_, w)
            | V4::CpuQuantizedConv2d(_, w)
            | V4::CpuQuantizedDepthwise(_, w),
        ) => Work::ByteMacs(taps(w.weights.len, w.bias.len / 4)),
        Operator::V4(V4::MatMul(body, _)) => Work::FloatMacs(elements * body.a_cols as u64),
        Operator::V4(V4::QuantizedMatMul(body, _)) => Work::ByteMacs(elements * body.a_cols as u64),
        Operator::V3(V3::Softmax(_) | V3::Logistic(_))
        | Operator::V4(V4::Softmax(_) | V4::Unary(_) | V4::Nnil(..)) => Work::Function(elements),
        Operator::V4(other) => {
            let read = other.input().map_or(0, |input| input.elements());
            Work::Simple(elements.max(read as u64))
        }
        Operator::V3(V3::GlobalAveragePool(body)) => {
            Work::Simple(elements * u64::from(body.kernel_size))
        }
        Operator::V3(V3::QuantizedMaxPool(body) | V3::AveragePool(body)) => {
            Work::Simple(elements * u64::from(body.kernel_width) * u64::from(body.kernel_height))
        }
        Operator::V3(_) => Work::Simple(elements),
    }
}

/// Kernel and pool of a KPU layer, the operator of an elementwise node; empty for the others.
pub fn detail(operator: &Operator) -> String {
    let layer = match operator {
        Operator::V3(V3::Conv(conv)) => &conv.layer,
        Operator::V4(V4::KpuConv(conv)) => &conv.layer,
        Operator::V4(V4::Binary(body)) => return format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::QuantizedBinary(body)) => return format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::Unary(body)) => return format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::Reduce(body)) => return format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::ReduceWindow(body) | V4::CpuReduceWindow(body)) => {
            return format!("{:?}", body.op).to_lowercase();
        }
        _ => return String::new(),
    };
    let side = if layer.kernel.area() == 9 { "3x3" } else { "1x1" };
    let depthwise = if layer.depthwise { " depthwise" } else { "" };
    match layer.pool {
        Pool::None => format!("{side}{depthwise}"),
        pool => format!("{side}{depthwise}, {}", pool.name()),
    }
}
