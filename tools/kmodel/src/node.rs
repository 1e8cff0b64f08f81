//! A node's particulars, for tables.

use maix_kpu::{
    kpu::Pool,
    model::{Operator, v3::layer::Operator as V3, v4::operator::Operator as V4},
};

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
