//! Runs a node: borrows what it reads and writes, and has the KPU or a kernel do the work.

use super::{
    memory::{Bound, Memory},
    v3, v4,
};
use crate::{
    error::{Error, Kind, Result, What},
    kernels::copy,
    kpu::{
        Accelerator, Job,
        memory::{ROW_BYTES, RowLayout, rows},
    },
    model::{
        Node, Operator,
        node::KpuConv,
        operands::{Operands, OutputShape},
        v3::layer::{AddPadding, Operator as V3},
        v4::operator::Operator as V4,
    },
    tensor::ImageShape,
};

/// Runs one node. The KPU may still compute its layer when this returns.
#[inline(never)]
pub(super) fn run(
    node: &Node,
    memory: &mut Memory<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let operands = &node.operands;
    if let Some(conv) = node.kpu_conv() {
        let bound = memory.bind_shared(operands, accelerator)?;
        return kpu_conv(&conv, bound, accelerator);
    }
    if let Some(outer) = node.repetitions() {
        return concat(node, outer, memory);
    }
    let bound = memory.bind(operands)?;
    let done = match node.operator() {
        Operator::V3(V3::AddPadding(b)) => {
            add_padding(b, bound.0[0], accelerator.ram());
            Some(())
        }
        Operator::V3(V3::Upload(_)) | Operator::V4(V4::KpuUpload(_)) => {
            return upload(operands, bound.0[0], accelerator);
        }
        Operator::V3(operator) => v3::compute(&operator, bound),
        Operator::V4(operator) => v4::compute(&operator, bound),
    };
    // The checks of the loader make `None` impossible.
    done.ok_or_else(inconsistent)
}

fn inconsistent() -> Error {
    Error::of(Kind::Field, What::SizeOfTheNode)
}

#[inline(never)]
fn kpu_conv(
    conv: &KpuConv,
    ([batch_norm, activation, weights], y): Bound<'_>,
    accelerator: &mut dyn Accelerator,
) -> Result<()> {
    let KpuConv { layer, batches, eight_bit } = *conv;
    let mut job = Job { layer, batch_norm, activation, weights, eight_bit };
    for _ in 0..batches {
        accelerator.start(core::slice::from_ref(&job))?;
        job.layer.src_row += rows(layer.input);
        job.layer.dst_row += rows(layer.output);
    }
    if !y.is_empty() {
        accelerator.finish()?;
    }
    for (n, y) in y.chunks_mut(layer.output.elements().max(1)).enumerate() {
        let row = layer.dst_row + n * rows(layer.output);
        accelerator.download(row, layer.output, y)?;
    }
    Ok(())
}

#[inline(never)]
fn upload(operands: &Operands, x: &[u8], accelerator: &mut dyn Accelerator) -> Result<()> {
    let OutputShape::Known([_, c, h, w]) = operands.shape else { return Err(inconsistent()) };
    let (first, image) = (operands.written.start as usize / ROW_BYTES, ImageShape::new(c, h, w));
    for (n, x) in x.chunks(image.elements().max(1)).enumerate() {
        accelerator.upload(first + n * rows(image), image, x)?;
    }
    Ok(())
}

fn add_padding(b: &AddPadding, x: &[u8], ram: &mut [u8]) {
    let image = b.image();
    let layout = RowLayout::of(image.width);
    for (channel, &x) in x.iter().enumerate() {
        let place = b.row as usize * ROW_BYTES + layout.line_offset(image.height, channel, 0);
        if let Some(pixel) = ram.get_mut(place) {
            *pixel = x;
        }
    }
}

/// Puts bytes together, whatever they stand for.
#[inline(never)]
fn concat(node: &Node, outer: usize, memory: &mut Memory<'_>) -> Result<()> {
    let source = memory.source();
    let mut total = 0;
    node.parts(source, &mut |part| {
        total += part.bytes;
        Ok(())
    })?;
    let output = node.operands.output.map(|output| output.bytes_of(total));
    let mut offset = 0;
    node.parts(source, &mut |part| {
        let input = Operands::reading(part.operand.bytes_of(part.bytes));
        let ([x, ..], y) = memory.bind(&Operands { output, ..input })?;
        copy::concat(x, y, outer, offset).ok_or_else(inconsistent)?;
        offset += part.bytes.checked_div(outer).unwrap_or(0);
        Ok(())
    })
}
