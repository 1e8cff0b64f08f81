//! What the fuzz targets share: asking a file everything that can be asked without running it.

use maix_kpu::{
    error::Result,
    model::{Model, Operator, Source},
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
    let macs = model.nodes(source).flatten().map(|node| match node.operator {
        Operator::V3(maix_kpu::model::v3::layer::Operator::Conv(conv)) => conv.layer.macs(),
        Operator::V4(maix_kpu::model::v4::operator::Operator::KpuConv(conv)) => {
            conv.layer.macs().saturating_mul(conv.batches as u64)
        }
        _ => 0,
    });
    macs.fold(0, u64::saturating_add)
}
