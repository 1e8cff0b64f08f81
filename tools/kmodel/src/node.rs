//! A node's particulars, for tables.

use maix_kpu::{
    kpu::Pool,
    model::{Node, Operator, v4::operator::Operator as V4},
};

/// Kernel and pool of a KPU layer, the operator of an elementwise node; empty for the others.
pub fn detail(node: &Node) -> String {
    if let Some(conv) = node.kpu_conv() {
        let layer = conv.layer;
        let side = if layer.kernel.area() == 9 { "3x3" } else { "1x1" };
        let depthwise = if layer.depthwise { " depthwise" } else { "" };
        return match layer.pool {
            Pool::None => format!("{side}{depthwise}"),
            pool => format!("{side}{depthwise}, {}", pool.name()),
        };
    }
    match node.operator() {
        Operator::V4(V4::Binary(body)) => format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::QuantizedBinary(body)) => format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::Unary(body)) => format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::Reduce(body)) => format!("{:?}", body.op).to_lowercase(),
        Operator::V4(V4::ReduceWindow(body) | V4::CpuReduceWindow(body)) => {
            format!("{:?}", body.op).to_lowercase()
        }
        _ => String::new(),
    }
}
