//! The steps of a kmodel as text: what runs where, and where everything lies.

use std::fmt::Write;

use crate::{
    emit::Emitted,
    graph::Graph,
    program::{Place, Program, StepOp, ValueId},
};

/// One line a step: its number, operator and node, what it reads and what it writes. A value is told
/// with its shape and its address in bytes: in KPU RAM, in main memory, or among the constants.
pub fn of(graph: &Graph, program: &Program, emitted: &Emitted) -> String {
    let values = |ids: &[ValueId]| {
        let texts: Vec<String> = ids.iter().map(|&id| value(program, emitted, id)).collect();
        texts.join(", ")
    };
    let mut text = format!("inputs: {}\n", values(&program.inputs));
    for (i, step) in program.steps.iter().enumerate() {
        // Where TensorFlow joins layers it joins their names, the last layer first.
        let node = step.node.and_then(|node| graph.nodes[node].name.split(';').next());
        let name = match &step.op {
            StepOp::Kpu(layer) => {
                let kind = if layer.depthwise { " depthwise" } else { "" };
                let size = layer.kernel.size();
                format!("KPU conv2d {size}x{size}{kind}, pool {}", layer.pool.name())
            }
            op => op.name().into(),
        };
        let (reads, writes) = (values(&step.reads), values(&step.writes));
        writeln!(text, "{i:>4} {name} ({}): {reads} -> {writes}", node.unwrap_or_default())
            .expect("a string has room");
    }
    text + &format!("outputs: {}\n", values(&program.outputs))
}

fn value(program: &Program, emitted: &Emitted, id: ValueId) -> String {
    let value = &program.values[id];
    let place = match value.place {
        Place::Constant => "constant",
        Place::Main => "main",
        Place::Kpu => "KPU",
    };
    let shape = value.shape.map(|d| d.to_string()).join("x");
    format!("{place}[{:#x}] {:?} {shape}", emitted.starts[id], value.dtype)
}
