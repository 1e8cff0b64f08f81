//! The compiler's graph in Graphviz's language.

use kmodel_compiler::graph::Graph;
use std::fmt::Write;

/// The graph as a .dot file: a box for each operator, an arrow with its shape for each tensor.
pub fn graph(graph: &Graph) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let shape = |id: usize| {
        let dims: Vec<String> = graph.tensors[id].shape.iter().map(usize::to_string).collect();
        dims.join("x")
    };
    let mut text = String::from("digraph model {\nnode [shape=box]\n");
    for &id in &graph.inputs {
        let name = quoted(&graph.tensors[id].name);
        let _ = writeln!(text, "t{id} [label=\"{name}\", shape=ellipse]");
    }
    for node in &graph.nodes {
        let label = format!("{}\\n{}", node.op.name(), quoted(&node.name));
        let _ = writeln!(text, "t{} [label=\"{label}\"]", node.output);
        for &id in node.inputs.iter().filter(|&&id| graph.tensors[id].data.is_none()) {
            let _ = writeln!(text, "t{id} -> t{} [label=\"{}\"]", node.output, shape(id));
        }
    }
    for (index, &id) in graph.outputs.iter().enumerate() {
        let _ = writeln!(text, "out{index} [label=\"output {index}\", shape=ellipse]");
        let _ = writeln!(text, "t{id} -> out{index} [label=\"{}\"]", shape(id));
    }
    text.push_str("}\n");
    text
}
