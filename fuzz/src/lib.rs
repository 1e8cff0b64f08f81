//! What the fuzz targets share: asking a file everything that can be asked without running it, and
//! compiling one.

use kmodel_compiler::{
    Options, Problem,
    import::{self, InputFormat},
    options::ElementType,
};
use maix_kpu::{
    error::Result,
    model::{Model, Source},
    session::Requirements,
};

/// Opens the file and asks everything about it. Only opening may fail: what was checked once
/// answers every question.
pub fn load(source: &dyn Source) -> Result<Model> {
    let model = Model::open(source)?;
    for node in model.nodes(source) {
        let node = node.expect("checked");
        model.node_output(source, &node).expect("checked");
    }
    for index in 0..model.input_count() {
        model.input(source, index).expect("checked");
    }
    for index in 0..model.output_count() {
        model.output(source, index).expect("checked");
    }
    assert!(model.input(source, model.input_count()).is_err());
    assert!(model.output(source, model.output_count()).is_err());
    Requirements::of(&model, source).expect("checked");
    let metadata = model.metadata(source);
    for span in [metadata.labels, metadata.anchors, metadata.note] {
        if let Some(bytes) = source.bytes() {
            span.of(bytes).expect("inside the file");
        }
    }
    Ok(model)
}

/// The file with its first bytes replaced, so that the fuzzer need not find them.
pub fn with_head(head: &[u8], data: &[u8]) -> Vec<u8> {
    let mut file = head.to_vec();
    file.extend(data.get(head.len()..).unwrap_or_default());
    file
}

/// Multiplications of the KPU layers; what the CPU computes is bounded by the memory that a
/// target allows.
pub fn kpu_macs(model: &Model, source: &dyn Source) -> u64 {
    let convs = model.nodes(source).flatten().filter_map(|node| node.kpu_conv());
    let macs = convs.map(|conv| conv.layer.macs().saturating_mul(conv.batches as u64));
    macs.fold(0, u64::saturating_add)
}

/// Elements of all tensors of a graph that is compiled; larger ones would take too long.
const MAX_ELEMENTS: usize = 1 << 18;

/// Reads a model file and compiles what is small, to floats and, where it brings its ranges along, to
/// bytes. Refusals say what and why, and none is the compiler's own fault.
pub fn compile(format: InputFormat, data: &[u8]) {
    let graph = match import::import(data, format, None) {
        Ok(imported) => imported.graph,
        Err(problems) => return check(&problems),
    };
    let elements = graph.tensors.iter().map(|tensor| tensor.elements());
    if elements.fold(0, usize::saturating_add) > MAX_ELEMENTS {
        return;
    }
    for inference_type in [ElementType::Float, ElementType::Uint8] {
        let options = Options {
            input_format: Some(format),
            inference_type,
            max_allocator_solve_secs: 0,
            ..Options::default()
        };
        match kmodel_compiler::compile(data, &options, &mut |_, _, _| {}) {
            Ok(compiled) => {
                load(&&compiled.kmodel[..]).expect("what was compiled loads");
            }
            Err(problems) => check(&problems),
        }
    }
}

fn check(problems: &[Problem]) {
    assert!(!problems.is_empty());
    for problem in problems {
        assert!(!problem.why.is_empty() && !problem.advice.is_empty(), "{problem:?}");
        assert_ne!(problem.advice, kmodel_compiler::REPORT, "{problem:?}");
    }
}
