//! Nodes and their bodies: both versions keep a table of headers, then the bodies one by one.

use super::{
    Model, Operator,
    detect::Version,
    operands::Operands,
    reader::{Field, PARTS, Part, Reader, body},
    source::Source,
    v3, v4,
};
use crate::{
    error::{Error, Kind, Result, What},
    kpu::{Layer, layer},
    words::word,
};

body! {
    /// The header of a node.
    NodeHeader {
        /// Number of the operator.
        opcode: u32,
        /// Bytes of the body.
        body_size: u32,
    }
}

/// A checked node: its place in the file, what it does, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// Position in the model.
    pub index: u32,
    /// File offset of the body.
    pub offset: usize,
    /// Bytes of the body.
    pub size: usize,
    /// Number of the operator.
    pub opcode: u32,
    /// What it reads and writes.
    pub operands: Operands,
    pub(super) version: Version,
    pub(super) eight_bit: bool,
    pub(super) words: Words,
    pub(super) row: usize,
}

/// A convolution by the KPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KpuConv {
    /// The layer.
    pub layer: Layer,
    /// Number of images; the rows of image `n` are `n` times an image behind those of the layer.
    pub batches: usize,
    /// Weights are 8 bits wide, not 16.
    pub eight_bit: bool,
}

impl Node {
    /// Room for a node.
    #[inline(never)]
    pub(super) fn room() -> Self {
        Self {
            index: 0,
            offset: 0,
            size: 0,
            opcode: 0,
            operands: Operands::default(),
            version: Version::V3,
            eight_bit: false,
            words: Words::default(),
            row: 0,
        }
    }

    /// What the node does, with its body.
    pub fn operator(&self) -> Operator<'_> {
        match self.version {
            Version::V3 => Operator::V3(v3::layer::Operator::of(self.row, &self.words)),
            Version::V4 => Operator::V4(v4::operator::Operator::of(self.row, &self.words)),
        }
    }

    /// The operator's name.
    pub fn name(&self) -> &'static str {
        word(Operators::of(self.version).names, self.row)
    }

    /// What the KPU does, if it is a convolution; its parameters are batch norm, activation table
    /// and weights.
    pub fn kpu_conv(&self) -> Option<KpuConv> {
        let batches = match self.operator() {
            Operator::V3(v3::layer::Operator::Conv(_)) => 1,
            Operator::V4(v4::operator::Operator::KpuConv(conv)) => conv.batches as usize,
            _ => return None,
        };
        Some(KpuConv { layer: Layer::of(self.layer()), batches, eight_bit: self.eight_bit })
    }

    /// The words of a KPU layer, which for both versions are kept behind six of the body.
    pub(super) fn layer(&self) -> &layer::Words {
        self.words.field(6)
    }
}

/// The words of a body; those behind it mean nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words([u64; 18]);

impl Words {
    pub fn as_mut(&mut self) -> &mut [u32] {
        bytemuck::must_cast_slice_mut(&mut self.0)
    }

    /// The field that begins with word `at`.
    pub fn field<F: Field>(&self, at: usize) -> &F {
        let bytes: &[u8] = bytemuck::must_cast_slice(&self.0);
        let bytes = bytes.get(4 * at..).and_then(|bytes| bytes.get(..size_of::<F>()));
        bytes.and_then(|bytes| bytemuck::try_from_bytes(bytes).ok()).unwrap_or(F::ZERO)
    }
}

/// The operators of a version.
pub(super) struct Operators {
    pub opcodes: &'static [u16],
    pub parts: &'static [[Part; PARTS]],
    pub names: &'static str,
}

impl Operators {
    fn of(version: Version) -> Self {
        match version {
            Version::V3 => v3::layer::Operator::ALL,
            Version::V4 => v4::operator::Operator::ALL,
        }
    }
}

/// Defines the operators of a version by number, name and body, which begins with word `$at`.
macro_rules! operators {
    (
        $at:literal
        $first_code:literal $first_name:literal $first:ident($first_body:ident)
        $($opcode:literal $name:literal $operator:ident($body:ident))*
    ) => {
        /// What a node does, with its body.
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[allow(missing_docs)] // each variant is named like its body
        pub enum Operator<'n> { $first(&'n $first_body), $($operator(&'n $body),)* }

        impl<'n> Operator<'n> {
            pub(in crate::model) const ALL: crate::model::node::Operators =
                crate::model::node::Operators {
                    opcodes: &[$first_code, $($opcode,)*],
                    parts: &[
                        crate::model::reader::Part::row($at, $first_body::PARTS),
                        $(crate::model::reader::Part::row($at, $body::PARTS),)*
                    ],
                    names: concat!($first_name, "\0", $($name, "\0",)*),
                };

            /// The operator in a row of the table.
            pub(in crate::model) fn of(row: usize, words: &'n crate::model::node::Words) -> Self {
                #[allow(dead_code)] // the first is what remains
                enum Row { $first, $($operator,)* }
                match row {
                    $(row if row == Row::$operator as usize => Self::$operator(words.field($at)),)*
                    _ => Self::$first(words.field($at)),
                }
            }
        }
    };
}

pub(super) use operators;

/// Where a node's body lies.
pub(super) struct Body {
    pub index: u32,
    pub opcode: u32,
    pub begin: usize,
    pub end: usize,
}

impl Body {
    /// Reads and checks the node, in place of another; errors tell the place.
    pub fn read(&self, model: &Model, source: &dyn Source, node: &mut Node) -> Result<()> {
        self.fill(model, source, node).map_err(|e| e.at_node(self.index).at(self.begin as u64))
    }

    fn fill(&self, model: &Model, source: &dyn Source, node: &mut Node) -> Result<()> {
        let reader = &mut Reader::new(source, self.begin, self.end);
        let operators = Operators::of(model.version);
        let row = operators.opcodes.iter().position(|&opcode| u32::from(opcode) == self.opcode);
        let found = row.and_then(|row| Some((row, operators.parts.get(row)?)));
        let Some((row, parts)) = found else {
            return Err(match model.version {
                Version::V3 => v3::layer::unknown(self.opcode, reader),
                Version::V4 => {
                    Error::about(Kind::UnknownOperator, What::Nothing, [self.opcode.into(), 0])
                }
            });
        };
        node.index = self.index;
        node.offset = self.begin;
        node.size = self.end - self.begin;
        node.opcode = self.opcode;
        node.version = model.version;
        node.eight_bit = model.eight_bit;
        node.row = row;
        reader.parts(parts, node.words.as_mut());
        reader.done()?;
        let mut operands = Operands::default();
        match model.version {
            Version::V3 => {
                v3::check::read_layer(node, source)?;
                v3::check::read(node, &mut operands, reader, source)?;
            }
            Version::V4 => v4::check::read(node, &mut operands, reader, source)?,
        }
        node.operands = operands;
        node.operands.check(&model.limits())?;
        node.check_parts(source, &model.limits())
    }
}

/// Bytes of padding that a file may lack at its end.
const MISSING_PADDING: usize = 7;

/// Walks the bodies.
pub(super) struct Bodies<'s> {
    source: &'s dyn Source,
    index: u32,
    count: u32,
    headers: Reader<'s>,
    body: usize,
}

impl<'s> Bodies<'s> {
    /// The bodies of `count` nodes whose headers stand at `headers` and bodies at `bodies`.
    pub fn new(source: &'s dyn Source, count: u32, headers: usize, bodies: usize) -> Self {
        let headers = Reader::new(source, headers, bodies);
        Self { source, index: 0, count, headers, body: bodies }
    }

    /// The byte behind the last body.
    pub fn end(mut self) -> Result<usize> {
        self.try_fold(self.body, |_, body| body.map(|b| b.end))
    }

    fn next_body(&mut self) -> Result<Body> {
        let NodeHeader { opcode, body_size } = self.headers.checked()?;
        let begin = self.body;
        let end = begin.saturating_add(body_size as usize);
        let missing = end.saturating_sub(self.source.len());
        let is_last = self.index + 1 == self.count;
        if missing > 0 && (missing > MISSING_PADDING || !is_last) {
            return Err(Error::about(Kind::Truncated, What::Body, [missing as u64, 0])
                .at_node(self.index)
                .at(self.source.len() as u64));
        }
        self.body = end;
        Ok(Body { index: self.index, opcode, begin, end })
    }
}

impl Iterator for Bodies<'_> {
    type Item = Result<Body>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.count {
            return None;
        }
        let body = self.next_body();
        self.index = if body.is_ok() { self.index + 1 } else { self.count };
        Some(body)
    }
}
