//! A loaded model that runs: input in, every node in turn, outputs out.

pub mod memory;
mod run;
pub mod trace;
mod v3;
mod v4;

use crate::{
    error::{Error, Kind, Result, What},
    input::{Conversion, Input},
    kpu::{
        Accelerator,
        driver::{ACTIVATION_ALIGNMENT, PARAMETER_ALIGNMENT},
        memory::rows,
    },
    model::{
        Model, Node, Place, Source, Span, Tensor,
        metadata::Metadata,
        operands::{Operands, Parameters},
    },
    tensor::{Dtype, Shape, copy, elements},
};
use heapless::Vec;
use memory::{ALIGNMENT, Memory, buffered, in_place};
use trace::{Trace, Written};

/// A model with its memory. Nothing is allocated while it runs.
pub struct Session<'m> {
    model: Model,
    memory: Memory<'m>,
    conversion: Conversion,
    metadata: Metadata,
    layers: u32,
    shapes: Vec<(u32, Shape), SHAPES>,
}

/// Most outputs that [`Session::set_outputs`] gives other shapes.
const SHAPES: usize = 8;

/// Bytes of memory that a [`Session`] of a model wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirements {
    /// Main memory of the nodes.
    pub main: usize,
    /// Buffer for the parameters of the largest node; 0 if they are used where they lie.
    pub buffer: usize,
    /// What the chip's KPU driver needs for copies of parameters that lie in memory at addresses
    /// which the KPU cannot read.
    pub kpu_copies: usize,
}

impl Requirements {
    /// What a session of the model wants.
    pub fn of(model: &Model, source: &dyn Source) -> Result<Self> {
        let (mut buffer, mut kpu_copies) = (0, 0);
        let constants = model.constants().offset;
        model.visit(source, model.node_count(), &mut |node| {
            kpu_copies = kpu_copies.max(copies(node, source));
            buffer = buffer.max(buffered(&node.operands, source, constants));
            node.parts(source, &mut |part| {
                let operands = Operands::reading(part.operand.bytes_of(part.bytes));
                buffer = buffer.max(buffered(&operands, source, constants));
                Ok(())
            })
        })?;
        Ok(Self { main: model.main_memory(), buffer, kpu_copies })
    }

    /// The size of the memory to give to [`Session::new`], whatever its alignment.
    pub fn bytes(&self) -> usize {
        self.main + self.buffer + ALIGNMENT - 1
    }
}

fn own_conversion(metadata: &Metadata) -> Conversion {
    let (low, high) = metadata.input_range.unwrap_or((0.0, 1.0));
    Conversion::range(low, high)
}

/// The error of the node with this index and offset.
fn at(error: Error, (index, offset): (u32, usize)) -> Error {
    error.at_node(index).at(offset as u64)
}

/// Waits for the KPU, which computes the layer of the node with this index and offset.
fn finish(accelerator: &mut dyn Accelerator, node: (u32, usize)) -> Result<()> {
    accelerator.finish().map_err(|e| at(e, node))
}

/// Bytes of the copies that the KPU needs of a layer's parameters.
fn copies(node: &Node, source: &dyn Source) -> usize {
    if node.kpu_conv().is_none() || source.bytes().is_none() {
        return 0;
    }
    const ALIGNMENTS: [usize; 3] = [PARAMETER_ALIGNMENT, ACTIVATION_ALIGNMENT, PARAMETER_ALIGNMENT];
    let mut bytes = 0;
    for (parameters, &alignment) in node.operands.parameters.iter().zip(&ALIGNMENTS) {
        if let Some(Parameters { span, .. }) = *parameters
            && in_place(source, span, alignment).is_none()
        {
            bytes += span.len + alignment;
        }
    }
    bytes
}

impl<'m> Session<'m> {
    /// A session of a model in `memory`, which has at least [`Requirements::bytes`].
    pub fn new(model: Model, source: &'m dyn Source, memory: &'m mut [u8]) -> Result<Self> {
        let required = Requirements::of(&model, source)?;
        if memory.len() < required.bytes() {
            let sizes = [required.bytes() as u64, memory.len() as u64];
            return Err(Error::about(Kind::NoMemory, What::ModelsWorkingMemory, sizes));
        }
        let metadata = model.metadata(source);
        Ok(Self {
            model,
            memory: Memory::new(source, model.constants().offset, memory, required.main)?,
            conversion: own_conversion(&metadata),
            metadata,
            layers: model.node_count(),
            shapes: Vec::new(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The file.
    pub fn source(&self) -> &'m dyn Source {
        self.memory.source()
    }

    /// Number of nodes that run, see [`set_layers`](Self::set_layers).
    pub fn layers(&self) -> u32 {
        self.layers
    }

    /// Labels, anchors and notes that stand behind the model.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// An input's type and shape.
    pub fn input(&self, index: u32) -> Result<Tensor> {
        self.model.input(self.memory.source(), index)
    }

    /// An output's place, type and shape. After [`set_layers`](Self::set_layers) with fewer than
    /// all there is one output: what the last of them writes.
    pub fn output(&self, index: u32) -> Result<Tensor> {
        let source = self.memory.source();
        if self.layers == self.model.node_count() {
            let mut output = self.model.output(source, index)?;
            if let Some(&(_, shape)) = self.shapes.iter().find(|(i, _)| *i == index) {
                output.shape = shape;
            }
            return Ok(output);
        }
        if index > 0 {
            return Err(Error::about(Kind::OutputIndex, What::Nothing, [index.into(), 1]));
        }
        let last = self.model.node(source, self.layers.saturating_sub(1))?;
        self.model.node_output(source, &last)
    }

    /// Number of outputs; see [`output`](Self::output).
    pub fn output_count(&self) -> u32 {
        if self.layers == self.model.node_count() { self.model.output_count() } else { 1 }
    }

    /// Gives an output another shape of as many elements, instead of the one that the model tells.
    pub fn set_outputs(&mut self, index: u32, shape: Shape) -> Result<()> {
        let has = self.model.output(self.memory.source(), index)?.elements();
        if elements(&shape) != Some(has) {
            let given = elements(&shape).map_or(u64::MAX, |n| n as u64);
            return Err(Error::about(Kind::OutputShape, What::Nothing, [given, has as u64]));
        }
        self.shapes.retain(|(i, _)| *i != index);
        let full = |_| {
            Error::about(
                Kind::Count,
                What::OutputsWithAShapeOfTheirOwn,
                [SHAPES as u64 + 1, SHAPES as u64],
            )
        };
        self.shapes.push((index, shape)).map_err(full)
    }

    /// Runs only the first `layers` nodes from now on; 0: all.
    pub fn set_layers(&mut self, layers: u32) -> Result<()> {
        let all = self.model.node_count();
        if layers > all {
            return Err(Error::about(Kind::LayerCount, What::Nothing, [layers.into(), all.into()]));
        }
        self.layers = if layers == 0 { all } else { layers };
        Ok(())
    }

    /// The conversion that the metadata ask for; without any, pixels become 0 to 1.
    pub fn own_conversion(&self) -> Conversion {
        own_conversion(&self.metadata)
    }

    /// What a pixel byte means for a model that takes floats; also the scaling of the
    /// [`Input`]s of every later run.
    pub fn set_conversion(&mut self, conversion: Conversion) {
        self.conversion = conversion;
    }

    /// Runs the model on its only input.
    pub fn forward(&mut self, accelerator: &mut dyn Accelerator, input: &Input<'_>) -> Result<()> {
        self.forward_traced(accelerator, core::slice::from_ref(input), &mut ())
    }

    /// Runs the model on all its inputs, watched by `trace`.
    pub fn forward_traced(
        &mut self,
        accelerator: &mut dyn Accelerator,
        inputs: &[Input<'_>],
        trace: &mut dyn Trace,
    ) -> Result<()> {
        let count = self.model.input_count();
        if inputs.len() != count as usize {
            return Err(Error::about(
                Kind::InputCount,
                What::Nothing,
                [inputs.len() as u64, count.into()],
            ));
        }
        for (index, input) in inputs.iter().enumerate() {
            self.put(accelerator, index as u32, input)?;
        }
        self.run(accelerator, trace)
    }

    #[inline(never)]
    fn put(
        &mut self,
        accelerator: &mut dyn Accelerator,
        index: u32,
        input: &Input<'_>,
    ) -> Result<()> {
        let tensor = self.input(index)?;
        match tensor.place {
            Place::Kpu(row) => input.put_in_kpu(&tensor, &self.conversion, row, accelerator.ram()),
            Place::Main(start) => {
                let span = Span { offset: start, len: tensor.bytes() };
                input.put(&tensor, &self.conversion, self.memory.main_mut(span)?)
            }
            Place::Constants(_) => Err(Error::of(Kind::WrongMemory, What::TheInput)),
        }
    }

    #[inline(never)]
    fn run(&mut self, accelerator: &mut dyn Accelerator, trace: &mut dyn Trace) -> Result<()> {
        let Self { model, memory, layers, .. } = self;
        // Index and offset of the node before, whose layer the KPU computes while this one is read.
        let mut before = (0, 0);
        let done = model.visit(memory.source(), *layers, &mut |node| {
            finish(accelerator, before)?;
            before = (node.index, node.offset);
            trace.begin(node)?;
            run::run(node, memory, accelerator).map_err(|e| at(e, before))?;
            if !trace.watches_ends() {
                return Ok(());
            }
            finish(accelerator, before)?;
            trace.end(node, Written { model, node, memory, accelerator })
        });
        finish(accelerator, before).and(done)
    }

    /// The bytes of an output that lies in main memory or constants.
    pub fn output_bytes(&self, index: u32) -> Result<&[u8]> {
        let tensor = self.output(index)?;
        let len = tensor.bytes();
        match tensor.place {
            Place::Main(offset) => self.memory.main(Span { offset, len }),
            _ => Err(Error::about(Kind::WrongMemory, What::TheOutput, [2, 0])),
        }
    }

    /// Copies an output's bytes, wherever it lies, into `bytes` of its size.
    pub fn read_output(
        &self,
        accelerator: &mut dyn Accelerator,
        index: u32,
        bytes: &mut [u8],
    ) -> Result<()> {
        let tensor = self.output(index)?;
        if bytes.len() != tensor.bytes() {
            let sizes = [bytes.len() as u64, tensor.bytes() as u64];
            return Err(Error::about(Kind::BufferSize, What::BufferForTheOutput, sizes));
        }
        match tensor.place {
            Place::Main(offset) => {
                copy(self.memory.main(Span { offset, len: bytes.len() })?, bytes);
                Ok(())
            }
            Place::Kpu(row) => {
                let image = tensor.image();
                for (n, bytes) in bytes.chunks_exact_mut(image.elements().max(1)).enumerate() {
                    accelerator.download(row + n * rows(image), image, bytes)?;
                }
                Ok(())
            }
            Place::Constants(offset) => {
                self.memory.source().read(self.model.constants().offset + offset, bytes)
            }
        }
    }

    /// An output as floats, if it is of that type.
    pub fn output_floats(&self, index: u32) -> Result<&[f32]> {
        if self.output(index)?.dtype != Dtype::F32 {
            return Err(Error::about(Kind::WrongDtype, What::TheOutput, [Dtype::U8.code(), 0]));
        }
        memory::cast(self.output_bytes(index)?)
    }
}
