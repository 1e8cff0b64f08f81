//! Model files: bytes become checked nodes.
//!
//! | what | where |
//! |---|---|
//! | telling a kmodel from everything else | [`detect`] |
//! | kmodel v3 (nncase 0.1) | [`v3`] |
//! | kmodel v4 (nncase 0.2) | [`v4`] |
//! | labels, anchors and the input range behind a model | [`metadata`] |
//! | what nodes read and write | [`operands`], [`mod@concat`], [`range`], `shape` |
//! | fields and bytes | [`reader`], [`source`] |

pub mod concat;
pub mod detect;
pub mod metadata;
pub mod node;
pub mod operands;
pub mod range;
pub mod reader;
mod shape;
pub mod source;
pub mod v3;
pub mod v4;

use crate::{
    error::{Error, Kind, Result, What},
    kpu::memory::ROW_BYTES,
    tensor::{Dtype, ImageShape, Shape, elements},
};
use detect::Version;
use metadata::Metadata;
use node::NodeHeader;
use operands::check_kpu_images;
use range::{Limits, Memory, Range};
use reader::{Field, Reader};
use v4::range::Shape4;

pub use node::Node;
pub use source::{Source, Span};

/// A model of which every node was checked; it holds offsets, the bytes stay in their [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct Model {
    version: Version,
    eight_bit: bool,
    main_memory: u32,
    nodes: u32,
    inputs: u32,
    outputs: u32,
    constants: Span,
    /// The ranges of the inputs, of kmodel v4: then their shapes.
    input_table: usize,
    /// The ranges of the outputs.
    output_table: usize,
    /// Node headers.
    headers: usize,
    /// First body.
    bodies: usize,
    size: usize,
}

/// What a node does, with its body.
#[derive(Clone, Copy, Debug)]
pub enum Operator<'n> {
    /// A layer of kmodel v3.
    V3(v3::layer::Operator<'n>),
    /// A node of kmodel v4.
    V4(v4::operator::Operator<'n>),
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
    /// What a range holds.
    pub fn new(range: &Range, shape: Shape) -> Self {
        let start = range.start as usize;
        let place = match range.memory() {
            Memory::Main => Place::Main(start),
            Memory::Constants => Place::Constants(start),
            Memory::Kpu => Place::Kpu(start / ROW_BYTES),
        };
        Self { place, dtype: range.dtype(), shape }
    }

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
        let model = Self::read(source)?;
        model.check(source)?;
        Ok(model)
    }

    /// Recognises a model by its headers; nodes are not looked at.
    pub(crate) fn read(source: &dyn Source) -> Result<Self> {
        let version = detect::version(source)?;
        let reader = &mut Reader::new(source, 0, source.len());
        let mut model = match version {
            Version::V3 => v3::read(reader)?,
            Version::V4 => v4::read(reader)?,
        };
        model.headers = reader.take_items(model.nodes as usize, size_of::<NodeHeader>()).offset;
        model.bodies = reader.offset();
        reader.done()?;
        model.size = model.bodies(source).end()?;
        Ok(model)
    }

    /// Checks the outputs and every node, and the inputs: those of kmodel v3 are told by a node.
    fn check(&self, source: &dyn Source) -> Result<()> {
        let limits = &self.limits();
        if self.version == Version::V4 {
            self.check_inputs(source, limits)?;
        }
        for index in 0..self.outputs {
            let (range, offset) = self.output_range(source, index)?;
            range.check(What::Output, limits).map_err(|e| e.at(offset as u64))?;
            if range.memory() != Memory::Kpu {
                range.check_read(What::Output, range.dtype(), 0, limits)?;
            }
        }
        self.visit(source, self.nodes, &mut |_| Ok(()))?;
        self.check_inputs(source, limits)
    }

    #[inline(never)]
    fn check_inputs(&self, source: &dyn Source, limits: &Limits) -> Result<()> {
        (0..self.inputs).try_for_each(|index| {
            let (range, shape) = self.input_range(source, index)?;
            check_input(&range, shape, limits).map_err(|e| e.at(self.input_table as u64))
        })
    }

    /// The version number of the format.
    pub fn version(&self) -> u32 {
        match self.version {
            Version::V3 => 3,
            Version::V4 => 4,
        }
    }

    /// Bytes of the model, with the padding of the last body, without metadata.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes of main memory that the nodes use.
    pub fn main_memory(&self) -> usize {
        self.main_memory as usize
    }

    /// The constants of the file; of kmodel v3 there are none.
    pub fn constants(&self) -> Span {
        self.constants
    }

    /// Number of nodes.
    pub fn node_count(&self) -> u32 {
        self.nodes
    }

    /// Number of inputs.
    pub fn input_count(&self) -> u32 {
        self.inputs
    }

    /// Number of outputs.
    pub fn output_count(&self) -> u32 {
        self.outputs
    }

    /// Sizes of the memories.
    pub fn limits(&self) -> Limits {
        Limits { constants: self.constants.len as u32, main: self.main_memory }
    }

    /// Every node, checked again as it is read.
    #[inline(never)]
    pub fn nodes<'s>(&self, source: &'s dyn Source) -> Nodes<'s> {
        Nodes { model: *self, source, bodies: self.bodies(source) }
    }

    /// Calls `each` with the first `count` nodes, checked again as they are read; as
    /// [`nodes`](Self::nodes), but each is read into the place of the one before.
    #[inline(never)]
    pub(crate) fn visit(
        &self,
        source: &dyn Source,
        count: u32,
        each: &mut dyn FnMut(&Node) -> Result<()>,
    ) -> Result<()> {
        let mut node = Node::room();
        for body in self.bodies(source).take(count as usize) {
            body?.read(self, source, &mut node)?;
            each(&node)?;
        }
        Ok(())
    }

    /// A node, checked as it is read.
    pub fn node(&self, source: &dyn Source, index: u32) -> Result<Node> {
        let values = [index.into(), self.nodes.into()];
        let missing = || Error::about(Kind::LayerIndex, What::Nothing, values);
        let body = self.bodies(source).nth(index as usize).ok_or_else(missing)??;
        let mut node = Node::room();
        body.read(self, source, &mut node).map(|()| node)
    }

    fn bodies<'s>(&self, source: &'s dyn Source) -> node::Bodies<'s> {
        node::Bodies::new(source, self.nodes, self.headers, self.bodies)
    }

    /// An input.
    pub fn input(&self, source: &dyn Source, index: u32) -> Result<Tensor> {
        let (range, shape) = self.input_range(source, index)?;
        let dtype = if range.memory() == Memory::Kpu { Dtype::U8 } else { range.dtype() };
        Ok(Tensor { dtype, ..Tensor::new(&range, shape) })
    }

    fn input_range(&self, source: &dyn Source, index: u32) -> Result<(Range, Shape)> {
        if index >= self.inputs {
            let values = [index.into(), self.inputs.into()];
            return Err(Error::about(Kind::InputCount, What::Nothing, values));
        }
        match self.version {
            Version::V3 => v3::input(&self.node(source, 0)?),
            Version::V4 => {
                let at = |index: u32| self.input_table + index as usize * size_of::<Range>();
                let range = field_at(source, at(index))?;
                let shape: Shape4 = field_at(source, at(self.inputs + index))?;
                Ok((range, shape.sizes()))
            }
        }
    }

    /// An output. Where nodes tell no shape, as behind a matrix product or a reshape that left no
    /// trace, it is (1, n, 1, 1).
    pub fn output(&self, source: &dyn Source, index: u32) -> Result<Tensor> {
        let (mut range, _) = self.output_range(source, index)?;
        if self.version == Version::V3
            && let Some(node) = self.writer(source, &range, self.nodes)?
        {
            // The file does not tell the type.
            range =
                Range::new(Memory::Main, node.operands.written.dtype(), range.start, range.size);
        }
        Ok(Tensor::new(&range, self.shape_of(source, &range, self.nodes)?))
    }

    /// The range of an output, and where it stands in the file.
    fn output_range(&self, source: &dyn Source, index: u32) -> Result<(Range, usize)> {
        if index >= self.outputs {
            let values = [index.into(), self.outputs.into()];
            return Err(Error::about(Kind::OutputIndex, What::Nothing, values));
        }
        match self.version {
            Version::V3 => {
                let at = self.output_table + index as usize * size_of::<v3::OutputRange>();
                let v3::OutputRange { address, size } = field_at(source, at)?;
                Ok((Range::new(Memory::Main, Dtype::U8, address, size), at))
            }
            Version::V4 => {
                let at = self.output_table + index as usize * size_of::<Range>();
                Ok((field_at(source, at)?, at))
            }
        }
    }

    /// What a node writes.
    pub fn node_output(&self, source: &dyn Source, node: &Node) -> Result<Tensor> {
        let range = node.operands.written;
        Ok(Tensor::new(&range, self.shape_of(source, &range, node.index.saturating_add(1))?))
    }

    /// The metadata behind the model, if there is any.
    pub fn metadata(&self, source: &dyn Source) -> Metadata {
        Metadata::find(source, self.size)
    }
}

/// Most nodes, inputs and outputs of a model that is believed.
const MOST: u32 = 1 << 16;

/// Checks a number that stands at `offset`.
fn check_number(what: What, count: u32, offset: u64) -> Result<()> {
    if count > MOST {
        return Err(Error::about(Kind::Count, what, [count.into(), MOST.into()]).at(offset));
    }
    Ok(())
}

fn check_input(range: &Range, shape: Shape, limits: &Limits) -> Result<()> {
    range.check(What::Input, limits)?;
    match range.memory() {
        Memory::Kpu => check_kpu_images(What::Input, range, shape).map(drop),
        _ => range.check_write(
            What::Input,
            range.dtype(),
            elements(&shape).unwrap_or(usize::MAX),
            limits,
        ),
    }
}

fn field_at<F: Field>(source: &dyn Source, offset: usize) -> Result<F> {
    Reader::new(source, offset, source.len()).checked()
}

/// Every node of a model, checked as it is read.
pub struct Nodes<'s> {
    model: Model,
    source: &'s dyn Source,
    bodies: node::Bodies<'s>,
}

impl Iterator for Nodes<'_> {
    type Item = Result<Node>;

    fn next(&mut self) -> Option<Self::Item> {
        let body = self.bodies.next()?;
        let mut node = Node::room();
        let read = body.and_then(|body| body.read(&self.model, self.source, &mut node));
        Some(read.map(|()| node))
    }
}
