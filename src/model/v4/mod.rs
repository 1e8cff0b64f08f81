//! kmodel v4, as written by nncase 0.2. Layout: docs/formats.md, section v4. Little-endian throughout.

pub(super) mod check;
pub mod operator;
mod options;
pub mod range;

pub use check::MAX_NNIL;

use self::range::{Range, Shape4};
use super::{
    Model,
    detect::Version,
    node::NodeHeader,
    reader::{Field, Reader, Sink, body},
};
use crate::error::{Error, Kind, Result, What};

/// The first four bytes: "LDMK".
pub const IDENTIFIER: u32 = u32::from_le_bytes(*b"LDMK");

body! {
    /// The first 40 bytes.
    Header {
        /// [`IDENTIFIER`].
        identifier: u32,
        /// 4.
        version: u32,
        /// Unused.
        flags: u32,
        /// 0 CPU, 1 K210.
        target: u32,
        /// Bytes of constants.
        constants: u32,
        /// Bytes of main memory.
        main_memory: u32,
        /// Number of nodes.
        nodes: u32,
        /// Number of inputs.
        inputs: u32,
        /// Number of outputs.
        outputs: u32,
        /// Unused.
        reserved: u32,
    }
}

/// Reads what stands before the headers of the nodes.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Model> {
    let header: Header = reader.checked()?;
    if header.target > 1 {
        return Err(Error::about(Kind::Target, What::Nothing, [header.target.into(), 0]).at(12));
    }
    super::check_number(What::NumberOfNodes, header.nodes, 24)?;
    super::check_number(What::NumberOfInputs, header.inputs, 28)?;
    super::check_number(What::NumberOfOutputs, header.outputs, 32)?;
    let input_table = reader.take_items(header.inputs as usize, 16).offset;
    reader.take_items(header.inputs as usize, 16);
    Ok(Model {
        version: Version::V4,
        eight_bit: true,
        main_memory: header.main_memory,
        nodes: header.nodes,
        inputs: header.inputs,
        outputs: header.outputs,
        input_table,
        output_table: reader.take_items(header.outputs as usize, 16).offset,
        constants: reader.take(header.constants as usize),
        headers: 0,
        bodies: 0,
        size: 0,
    })
}

/// What a v4 file is made of, for writing one.
pub struct File<'f> {
    /// 0 CPU, 1 K210.
    pub target: u32,
    /// Bytes of main memory.
    pub main_memory: u32,
    /// Inputs with their shapes.
    pub inputs: &'f [(Range, Shape4)],
    /// Outputs.
    pub outputs: &'f [Range],
    /// Constants.
    pub constants: &'f [u8],
    /// Opcodes and bodies.
    pub nodes: &'f [(u32, &'f [u8])],
}

impl File<'_> {
    /// Writes the file; every body is padded to a multiple of 8.
    pub fn write(&self, sink: Sink<'_>) {
        let padding = |len: usize| len.next_multiple_of(8) - len;
        Header {
            identifier: IDENTIFIER,
            version: 4,
            flags: 0,
            target: self.target,
            constants: self.constants.len() as u32,
            main_memory: self.main_memory,
            nodes: self.nodes.len() as u32,
            inputs: self.inputs.len() as u32,
            outputs: self.outputs.len() as u32,
            reserved: 0,
        }
        .write(sink);
        self.inputs.iter().for_each(|(range, _)| range.write(sink));
        self.inputs.iter().for_each(|(_, shape)| shape.write(sink));
        self.outputs.iter().for_each(|range| range.write(sink));
        sink(self.constants);
        for &(opcode, body) in self.nodes {
            let body_size = (body.len() + padding(body.len())) as u32;
            NodeHeader { opcode, body_size }.write(sink);
        }
        for (_, body) in self.nodes {
            sink(body);
            sink([0; 8].get(..padding(body.len())).unwrap_or_default());
        }
    }
}
