//! kmodel v4, as written by nncase 0.2. Layout: docs/formats.md, section v4. Little-endian throughout.

mod check;
pub mod operator;
mod options;
pub mod range;
mod shape;

use self::{
    operator::Operator,
    range::{Limits, Memory, Range, Shape4},
};
use super::{
    node::{Bodies, Body, Node, NodeHeader},
    reader::{Field, Reader, Sink, body},
    source::{Source, Span},
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

/// A v4 file whose header and every node were checked.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The header.
    pub header: Header,
    /// `inputs` ranges.
    inputs: usize,
    /// `inputs` shapes.
    shapes: usize,
    /// `outputs` ranges.
    outputs: usize,
    /// The constants.
    pub constants: Span,
    /// Node headers.
    headers: usize,
    /// First body.
    bodies: usize,
    /// Bytes of the model, with the padding of the last body.
    pub size: usize,
}

/// Most nodes, inputs and outputs of a model that is believed.
const MAX_NODES: u32 = 1 << 16;

impl Model {
    /// Reads the header; nodes are not looked at.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let mut reader = Reader::new(source, 0, source.len());
        let header: Header = reader.checked()?;
        if header.target > 1 {
            return Err(Error::about(Kind::Target, What::Nothing, [header.target.into(), 0]).at(12));
        }
        for (what, count, offset) in [
            (What::NumberOfNodes, header.nodes, 24),
            (What::NumberOfInputs, header.inputs, 28),
            (What::NumberOfOutputs, header.outputs, 32),
        ] {
            if count > MAX_NODES {
                return Err(
                    Error::about(Kind::Count, what, [count.into(), MAX_NODES.into()]).at(offset)
                );
            }
        }
        let inputs = reader.take_items(header.inputs as usize, 16).offset;
        let shapes = reader.take_items(header.inputs as usize, 16).offset;
        let outputs = reader.take_items(header.outputs as usize, 16).offset;
        let constants = reader.take(header.constants as usize);
        let headers = reader.take_items(header.nodes as usize, 8).offset;
        let bodies = reader.offset();
        reader.done()?;
        let model =
            Self { header, inputs, shapes, outputs, constants, headers, bodies, size: bodies };
        Ok(Self { size: model.bodies(source).end()?, ..model })
    }

    /// Checks inputs, outputs and every node.
    pub(super) fn check(&self, source: &dyn Source) -> Result<()> {
        let limits = self.limits();
        for index in 0..self.header.inputs {
            let (range, shape) = self.input(source, index)?;
            check_input(&range, &shape, &limits).map_err(|e| e.at(self.inputs as u64))?;
        }
        for index in 0..self.header.outputs {
            let range = self.output(source, index)?;
            range.check(What::Output, &limits).map_err(|e| e.at(self.outputs as u64))?;
            if range.memory != Memory::Kpu {
                range.check_read(What::Output, range.dtype, 0, &limits)?;
            }
        }
        self.nodes(source).try_for_each(|node| node.map(drop))
    }

    /// Sizes of the memories.
    pub fn limits(&self) -> Limits {
        Limits { constants: self.header.constants, main: self.header.main_memory }
    }

    /// Range and shape of an input.
    pub fn input(&self, source: &dyn Source, index: u32) -> Result<(Range, Shape4)> {
        if index >= self.header.inputs {
            return Err(Error::about(
                Kind::InputCount,
                What::Nothing,
                [index.into(), self.header.inputs.into()],
            ));
        }
        let at = index as usize * 16;
        Ok((field_at(source, self.inputs + at)?, field_at(source, self.shapes + at)?))
    }

    /// Range of an output.
    pub fn output(&self, source: &dyn Source, index: u32) -> Result<Range> {
        if index >= self.header.outputs {
            return Err(Error::about(
                Kind::OutputIndex,
                What::Nothing,
                [index.into(), self.header.outputs.into()],
            ));
        }
        field_at(source, self.outputs + index as usize * 16)
    }

    /// Every node, checked again as it is read.
    pub fn nodes<'s>(
        &self,
        source: &'s dyn Source,
    ) -> impl Iterator<Item = Result<Node<Operator>>> + use<'s> {
        let model = *self;
        self.bodies(source).map(move |body| model.node(&body?, source))
    }

    pub(super) fn node(&self, body: &Body, source: &dyn Source) -> Result<Node<Operator>> {
        let limits = self.limits();
        body.read(source, |opcode, reader| {
            let operator = Operator::read(opcode, reader);
            reader.done()?;
            operator.check(source, &limits)?;
            Ok(operator)
        })
    }

    pub(super) fn bodies<'s>(&self, source: &'s dyn Source) -> Bodies<'s> {
        Bodies::new(source, self.header.nodes, self.headers, self.bodies)
    }
}

fn check_input(range: &Range, shape: &Shape4, limits: &Limits) -> Result<()> {
    range.check(What::Input, limits)?;
    match range.memory {
        Memory::Kpu => {
            let [n, c, h, w] = shape.0;
            let image = crate::tensor::ImageShape::new(c, h, w);
            check::check_kpu_images(What::Input, range, n, image)
        }
        _ => range.check_write(What::Input, range.dtype, shape.elements(), limits),
    }
}

fn field_at<F: Field>(source: &dyn Source, offset: usize) -> Result<F> {
    Reader::new(source, offset, source.len()).checked()
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
