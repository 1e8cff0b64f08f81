//! kmodel v3, as written by nncase 0.1. Layout: docs/formats.md, section v3. Little-endian throughout.

mod check;
pub mod layer;
mod shape;

use self::layer::{Limits, Operator};
use super::{
    node::{Bodies, Body, Node},
    reader::{Field, Reader, Sink, body},
    source::Source,
};
use crate::{
    error::{Error, Kind, Result, What},
    tensor::{Dtype, ImageShape},
};

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
/// Most layers and outputs of a model that is believed.
const MAX_LAYERS: u32 = 1 << 16;

/// A v3 file whose header and every layer were checked.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// The header.
    pub header: Header,
    /// Layer headers.
    headers: usize,
    /// First body.
    bodies: usize,
    /// Bytes of the model, with the padding of the last body.
    pub size: usize,
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Bytes, put into KPU RAM.
    Image {
        /// First row.
        row: usize,
        /// The image.
        shape: ImageShape,
    },
    /// Floats, put into main memory.
    Vector {
        /// Address.
        address: u32,
        /// Their number.
        elements: usize,
    },
}

impl Model {
    /// Reads the header; layers are not looked at.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let mut reader = Reader::new(source, 0, source.len());
        let header: Header = reader.checked()?;
        if header.arch != 0 {
            return Err(
                Error::about(Kind::Field, What::Architecture, [header.arch.into(), 0]).at(8)
            );
        }
        for (what, count, offset) in
            [(What::NumberOfLayers, header.layers, 12), (What::NumberOfOutputs, header.outputs, 24)]
        {
            if count > MAX_LAYERS {
                return Err(
                    Error::about(Kind::Count, what, [count.into(), MAX_LAYERS.into()]).at(offset)
                );
            }
        }
        if header.layers == 0 {
            return Err(Error::of(Kind::Field, What::NumberOfLayers).at(12));
        }
        reader.take_items(header.outputs as usize, 8);
        let headers = reader.take_items(header.layers as usize, 8).offset;
        let bodies = reader.offset();
        reader.done()?;
        let model = Self { header, headers, bodies, size: bodies };
        Ok(Self { size: model.bodies(source).end()?, ..model })
    }

    /// Checks the outputs and every layer.
    pub(super) fn check(&self, source: &dyn Source) -> Result<()> {
        for index in 0..self.header.outputs {
            let OutputRange { address, size } = self.output(source, index)?;
            check::operand(What::Output, address, Dtype::U8, size as usize)
                .check_read(&self.limits().memories())
                .map_err(|e| e.at((HEADER_BYTES + index as usize * 8) as u64))?;
        }
        self.nodes(source).try_for_each(|layer| layer.map(drop))?;
        self.input(source).map(drop)
    }

    /// What the checks of a layer need.
    pub fn limits(&self) -> Limits {
        Limits { main: self.header.main_memory, eight_bit: self.header.flags & 1 != 0 }
    }

    /// What the first layer takes.
    pub fn input(&self, source: &dyn Source) -> Result<Input> {
        let first = self.nodes(source).next().unwrap_or(Err(Error::new(Kind::Empty)))?;
        match first.operator {
            Operator::Conv(conv) => {
                Ok(Input::Image { row: conv.layer.src_row, shape: conv.layer.input })
            }
            Operator::FullyConnected(b, _) => {
                Ok(Input::Vector { address: b.input, elements: b.in_channels as usize })
            }
            _ => Err(Error::new(Kind::FirstLayer).at_node(0).at(first.offset as u64)),
        }
    }

    /// Byte range of an output.
    pub fn output(&self, source: &dyn Source, index: u32) -> Result<OutputRange> {
        if index >= self.header.outputs {
            return Err(Error::about(
                Kind::OutputIndex,
                What::Nothing,
                [index.into(), self.header.outputs.into()],
            ));
        }
        Reader::new(source, HEADER_BYTES + index as usize * 8, self.headers).checked()
    }

    /// Every layer, checked again as it is read.
    pub fn nodes<'s>(
        &self,
        source: &'s dyn Source,
    ) -> impl Iterator<Item = Result<Node<Operator>>> + use<'s> {
        let model = *self;
        self.bodies(source).map(move |body| model.node(&body?, source))
    }

    pub(super) fn node(&self, body: &Body, source: &dyn Source) -> Result<Node<Operator>> {
        let limits = self.limits();
        body.read(source, |kind, reader| {
            let operator = Operator::read(kind, source, reader, &limits);
            reader.done()?;
            operator.check(source, &limits)?;
            Ok(operator)
        })
    }

    pub(super) fn bodies<'s>(&self, source: &'s dyn Source) -> Bodies<'s> {
        Bodies::new(source, self.header.layers, self.headers, self.bodies)
    }
}
