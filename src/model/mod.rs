//! Model files: bytes become checked nodes.
//!
//! | what | where |
//! |---|---|
//! | telling a kmodel from everything else | [`detect`] |
//! | kmodel v3 (nncase 0.1) | [`v3`] |
//! | kmodel v4 (nncase 0.2) | [`v4`] |
//! | labels, anchors and the input range behind a model | [`metadata`] |
//! | what nodes read and write | [`operands`], [`range`] |
//! | fields and bytes | [`reader`], [`source`] |

pub mod detect;
pub mod metadata;
pub mod node;
pub mod operands;
pub mod range;
pub mod reader;
pub mod source;
pub mod v3;
pub mod v4;

use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::ROW_BYTES,
    tensor::{Dtype, ImageShape, Shape},
};
use metadata::Metadata;
pub use node::Node;
pub use source::{Source, Span};

/// A model of which every node was checked; it holds offsets, the bytes stay in their [`Source`].
#[derive(Clone, Copy, Debug)]
pub enum Model {
    /// kmodel v3.
    V3(v3::Model),
    /// kmodel v4.
    V4(v4::Model),
}

/// What a node does.
#[derive(Clone, Copy, Debug)]
pub enum Operator {
    /// A layer of kmodel v3.
    V3(v3::layer::Operator),
    /// A node of kmodel v4.
    V4(v4::operator::Operator),
}

impl Operator {
    /// The operator's name.
    pub fn name(&self) -> &'static str {
        match self {
            Operator::V3(operator) => operator.name(),
            Operator::V4(operator) => operator.name(),
        }
    }
}

/// Where a tensor lies while the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Main memory, from this byte on.
    Main(usize),
    /// Constants of the file, from this byte of them on.
    Constants(usize),
    /// KPU RAM, from this row on.
    Kpu(usize),
}

/// An input or output of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Where it lies.
    pub place: Place,
    /// Type of its elements.
    pub dtype: Dtype,
    /// N, C, H, W.
    pub shape: Shape,
}

impl Tensor {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of bytes.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }

    /// Number of images.
    pub fn batches(&self) -> usize {
        self.shape[0]
    }

    /// One image of the batch.
    pub fn image(&self) -> ImageShape {
        let [_, c, h, w] = self.shape;
        ImageShape::new(c, h, w)
    }
}

impl Model {
    /// Recognises and checks a model. After `Ok` every node can be run inside the memories that
    /// the header asks for.
    pub fn open(source: &dyn Source) -> Result<Self> {
        match detect::version(source)? {
            detect::Version::V3 => {
                let model = v3::Model::read(source)?;
                model.check(source)?;
                Ok(Self::V3(model))
            }
            detect::Version::V4 => {
                let model = v4::Model::read(source)?;
                model.check(source)?;
                Ok(Self::V4(model))
            }
        }
    }

    /// The version number of the format.
    pub fn version(&self) -> u32 {
        match self {
            Self::V3(_) => 3,
            Self::V4(_) => 4,
        }
    }

    /// Bytes of the model, with the padding of the last body, without metadata.
    pub fn size(&self) -> usize {
        match self {
            Self::V3(model) => model.size,
            Self::V4(model) => model.size,
        }
    }

    /// Bytes of main memory that the nodes use.
    pub fn main_memory(&self) -> usize {
        match self {
            Self::V3(model) => model.header.main_memory as usize,
            Self::V4(model) => model.header.main_memory as usize,
        }
    }

    /// The constants of a v4 file; v3 has none.
    pub fn constants(&self) -> Option<Span> {
        match self {
            Self::V3(_) => None,
            Self::V4(model) => Some(model.constants),
        }
    }

    /// Number of nodes.
    pub fn node_count(&self) -> u32 {
        match self {
            Self::V3(model) => model.header.layers,
            Self::V4(model) => model.header.nodes,
        }
    }

    /// Number of inputs.
    pub fn input_count(&self) -> u32 {
        match self {
            Self::V3(_) => 1,
            Self::V4(model) => model.header.inputs,
        }
    }

    /// Number of outputs.
    pub fn output_count(&self) -> u32 {
        match self {
            Self::V3(model) => model.header.outputs,
            Self::V4(model) => model.header.outputs,
        }
    }

    /// Every node, checked again as it is read.
    pub fn nodes<'s>(&self, source: &'s dyn Source) -> Nodes<'s> {
        Nodes { model: *self, source, bodies: self.bodies(source) }
    }

    /// A node, checked as it is read.
    pub fn node(&self, source: &dyn Source, index: u32) -> Result<Node<Operator>> {
        self.node_of(&self.body(source, index)?, source)
    }

    /// The operator number of a node, as the file has it.
    pub fn opcode(&self, source: &dyn Source, index: u32) -> Result<u32> {
        self.body(source, index).map(|body| body.opcode)
    }

    fn body(&self, source: &dyn Source, index: u32) -> Result<node::Body> {
        let count = self.node_count();
        let missing =
            || Error::about(Kind::LayerIndex, What::Nothing, [index.into(), count.into()]);
        self.bodies(source).nth(index as usize).ok_or_else(missing)?
    }

    fn node_of(&self, body: &node::Body, source: &dyn Source) -> Result<Node<Operator>> {
        match self {
            Self::V3(model) => Ok(model.node(body, source)?.with(Operator::V3)),
            Self::V4(model) => Ok(model.node(body, source)?.with(Operator::V4)),
        }
    }

    fn bodies<'s>(&self, source: &'s dyn Source) -> node::Bodies<'s> {
        match self {
            Self::V3(model) => model.bodies(source),
            Self::V4(model) => model.bodies(source),
        }
    }

    /// An input.
    pub fn input(&self, source: &dyn Source, index: u32) -> Result<Tensor> {
        match self {
            Self::V3(model) => model.input_tensor(source, index),
            Self::V4(model) => {
                let (range, shape) = model.input(source, index)?;
                let dtype = match range.memory {
                    v4::range::Memory::Kpu => Dtype::U8,
                    _ => range.dtype,
                };
                Ok(Tensor { place: place(&range), dtype, shape: shape.0 })
            }
        }
    }

    /// An output.
    pub fn output(&self, source: &dyn Source, index: u32) -> Result<Tensor> {
        match self {
            Self::V3(model) => model.output_tensor(source, index),
            Self::V4(model) => {
                let range = model.output(source, index)?;
                let shape = model.output_shape(source, index)?;
                Ok(Tensor { place: place(&range), dtype: range.dtype, shape })
            }
        }
    }

    /// What a node writes.
    pub fn node_output(&self, source: &dyn Source, node: &Node<Operator>) -> Result<Tensor> {
        match (self, &node.operator) {
            (Self::V3(model), Operator::V3(layer)) => model.layer_tensor(source, node.index, layer),
            (Self::V4(model), Operator::V4(operator)) => {
                let range = operator.output();
                let shape = model.shape_of(source, &range, node.index.saturating_add(1))?;
                Ok(Tensor { place: place(&range), dtype: range.dtype, shape })
            }
            _ => Err(Error::new(Kind::Empty)),
        }
    }

    /// The metadata behind the model, if there is any.
    pub fn metadata(&self, source: &dyn Source) -> Metadata {
        Metadata::find(source, self.size())
    }
}

fn place(range: &v4::range::Range) -> Place {
    let start = range.start as usize;
    match range.memory {
        v4::range::Memory::Main => Place::Main(start),
        v4::range::Memory::Constants => Place::Constants(start),
        v4::range::Memory::Kpu => Place::Kpu(start / ROW_BYTES),
    }
}

/// Every node of a model, checked as it is read.
pub struct Nodes<'s> {
    model: Model,
    source: &'s dyn Source,
    bodies: node::Bodies<'s>,
}

impl Iterator for Nodes<'_> {
    type Item = Result<Node<Operator>>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.bodies.next()?;
        Some(body.and_then(|body| self.model.node_of(&body, self.source)))
    }
}
