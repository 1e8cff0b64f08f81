//! kmodel v3, as written by nncase 0.1. Layout: docs/formats.md, section v3. Little-endian throughout.

pub(super) mod check;
pub mod layer;

use super::{
    Model,
    detect::Version,
    node::Node,
    operands::{images, kpu_range},
    range::Range,
    reader::{Reader, body},
    source::Span,
};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::Layer,
    tensor::Shape,
};
use layer::Operator;

body! {
    /// The first 28 bytes.
    Header {
        /// 3.
        version: u32,
        /// Bit 0: weights are 8 bits wide, not 16.
        flags: u32,
        /// 0.
        arch: u32,
        /// Number of layers.
        layers: u32,
        /// Lowest KPU RAM row in use; for information.
        lowest_row: u32,
        /// Bytes of main memory.
        main_memory: u32,
        /// Number of outputs.
        outputs: u32,
    }
}

body! {
    /// An output: a byte range of main memory.
    OutputRange {
        /// First byte.
        address: u32,
        /// Bytes.
        size: u32,
    }
}

/// Bytes of [`Header`]; outputs and the headers of layers, 8 bytes each, follow.
pub const HEADER_BYTES: usize = 28;

/// Reads what stands before the headers of the layers.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Model> {
    let header: Header = reader.checked()?;
    if header.arch != 0 {
        return Err(Error::about(Kind::Field, What::Architecture, [header.arch.into(), 0]).at(8));
    }
    super::check_number(What::NumberOfLayers, header.layers, 12)?;
    super::check_number(What::NumberOfOutputs, header.outputs, 24)?;
    if header.layers == 0 {
        return Err(Error::of(Kind::Field, What::NumberOfLayers).at(12));
    }
    Ok(Model {
        version: Version::V3,
        eight_bit: header.flags & 1 != 0,
        main_memory: header.main_memory,
        nodes: header.layers,
        inputs: 1,
        outputs: header.outputs,
        constants: Span::default(),
        input_table: 0,
        output_table: reader.take_items(header.outputs as usize, 8).offset,
        headers: 0,
        bodies: 0,
        size: 0,
    })
}

/// What the first layer takes: an image in KPU RAM, or floats in main memory.
pub(super) fn input(first: &Node) -> Result<(Range, Shape)> {
    match (first.operator(), first.operands.inputs) {
        (super::Operator::V3(Operator::Conv(_)), _) => {
            let Layer { src_row, input, .. } = Layer::of(first.layer());
            Ok((kpu_range(src_row, 1, input), images(1, input)))
        }
        (super::Operator::V3(Operator::FullyConnected(_)), [Some(input), _]) => {
            Ok((input.range, [1, input.elements, 1, 1]))
        }
        _ => Err(Error::new(Kind::FirstLayer).at_node(0).at(first.offset as u64)),
    }
}
