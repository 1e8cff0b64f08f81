//! A model's nodes with what they read, from whom, and what they write.

use maix_kpu::{
    error::{Result, What},
    kpu::memory::{ROW_BYTES, rows},
    model::{
        Model, Node, Operator, Place, Source, Tensor,
        node::KpuConv,
        operands::images,
        v3::layer::Operator as V3,
        v4::{
            operator::Operator as V4,
            range::{Memory, Range},
        },
    },
    tensor::{Dtype, ImageShape, Shape},
};

/// Who wrote what a node reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An input of the model.
    Input(usize),
    /// A node.
    Node(usize),
}

/// A tensor that a node reads.
#[derive(Clone, Debug)]
pub struct Read {
    /// Place, type and shape.
    pub tensor: Tensor,
    /// Who wrote it; empty for constants, several where parts were written one by one.
    pub origins: Vec<Origin>,
}

/// A node among the others.
#[derive(Clone, Debug)]
pub struct Step {
    /// The node.
    pub node: Node,
    /// What it reads.
    pub reads: Vec<Read>,
    /// What it writes.
    pub write: Tensor,
    /// Rows of KPU RAM that it writes besides, if the result also goes to main memory.
    pub kpu_write: Option<Tensor>,
    /// Bytes of parameters: weights, bias, batch norm, tables, constant operands.
    pub weights: usize,
}

/// A memory and the bytes of it that a tensor takes.
type Extent = (bool, usize, usize);

/// Where a tensor lies: whether in KPU RAM, first byte, byte behind the last; constants nowhere.
fn extent(tensor: &Tensor) -> Option<Extent> {
    match tensor.place {
        Place::Main(start) => Some((false, start, start + tensor.bytes())),
        Place::Kpu(row) => {
            let start = row * ROW_BYTES;
            Some((true, start, start + rows(tensor.image()) * tensor.batches() * ROW_BYTES))
        }
        Place::Constants(_) => None,
    }
}

impl Step {
    fn writes(&self) -> impl Iterator<Item = &Tensor> {
        [Some(&self.write), self.kpu_write.as_ref()].into_iter().flatten()
    }

    /// Bytes of main memory (`false`) or KPU RAM (`true`) that its operands and results take.
    pub fn takes(&self, kpu: bool) -> usize {
        let tensors = self.reads.iter().map(|read| &read.tensor).chain(self.writes());
        let extents = tensors.filter_map(extent).filter(|&(k, ..)| k == kpu);
        extents.map(|(_, begin, end)| end - begin).sum()
    }
}

/// Every node of a model.
pub fn steps(model: &Model, source: &dyn Source) -> Result<Vec<Step>> {
    let inputs = inputs(model, source)?;
    let mut steps: Vec<Step> = Vec::new();
    for node in model.nodes(source) {
        let node = node?;
        let write = model.node_output(source, &node)?;
        let mut reads = Vec::new();
        for mut tensor in reads_of(model, source, &node)? {
            let origins = origins(&tensor, &steps, &inputs);
            // What a node tells no shape of has that of its writer.
            if let ([_, _, 1, 1], [origin]) = (tensor.shape, &origins[..]) {
                let written = match *origin {
                    Origin::Input(index) => inputs[index],
                    Origin::Node(index) => steps[index].write,
                };
                if written.elements() == tensor.elements() {
                    tensor.shape = written.shape;
                }
            }
            reads.push(Read { tensor, origins });
        }
        steps.push(Step {
            write,
            kpu_write: kpu_write(&node),
            weights: weights(&node),
            reads,
            node,
        });
    }
    Ok(steps)
}

fn inputs(model: &Model, source: &dyn Source) -> Result<Vec<Tensor>> {
    (0..model.input_count()).map(|index| model.input(source, index)).collect()
}

/// Who wrote what a tensor holds after the last step.
pub fn writers(
    model: &Model,
    source: &dyn Source,
    tensor: &Tensor,
    steps: &[Step],
) -> Result<Vec<Origin>> {
    Ok(origins(tensor, steps, &inputs(model, source)?))
}

/// The latest writers of a tensor's bytes.
fn origins(tensor: &Tensor, steps: &[Step], inputs: &[Tensor]) -> Vec<Origin> {
    let Some((kpu, begin, end)) = extent(tensor) else { return Vec::new() };
    let mut missing = vec![(begin, end)];
    let mut origins = Vec::new();
    let later = steps.iter().enumerate().rev();
    let later = later.flat_map(|(i, step)| step.writes().map(move |w| (Origin::Node(i), w)));
    let first = inputs.iter().enumerate().map(|(i, input)| (Origin::Input(i), input));
    for (origin, written) in later.chain(first) {
        let Some((memory, from, to)) = extent(written) else { continue };
        if memory != kpu || !missing.iter().any(|&(begin, end)| begin < to && from < end) {
            continue;
        }
        origins.push(origin);
        missing = missing
            .iter()
            .flat_map(|&(begin, end)| [(begin, end.min(from)), (begin.max(to), end)])
            .filter(|(begin, end)| begin < end)
            .collect();
        if missing.is_empty() {
            break;
        }
    }
    origins.dedup();
    origins
}

/// Most bytes of KPU RAM that hold values still to be read, over all nodes.
pub fn kpu_ram_peak(model: &Model, source: &dyn Source, steps: &[Step]) -> Result<usize> {
    let bytes = |tensor: &Tensor| match extent(tensor) {
        Some((true, begin, end)) => end - begin,
        _ => 0,
    };
    let last_use = |origin: Origin| {
        steps.iter().rposition(|s| s.reads.iter().any(|r| r.origins.contains(&origin)))
    };
    // Each value: bytes, written at, last read at.
    let mut values = Vec::new();
    for (index, input) in inputs(model, source)?.iter().enumerate() {
        values.push((bytes(input), 0, last_use(Origin::Input(index)).unwrap_or(0)));
    }
    for (index, step) in steps.iter().enumerate() {
        let last = last_use(Origin::Node(index)).unwrap_or(index).max(index);
        values.push((step.writes().map(bytes).sum(), index, last));
    }
    let live = |at: usize| -> usize {
        values.iter().filter(|v| v.1 <= at && at <= v.2).map(|v| v.0).sum()
    };
    Ok((0..steps.len()).map(live).max().unwrap_or(0))
}

fn image_tensor(row: usize, batches: usize, image: ImageShape) -> Tensor {
    Tensor { place: Place::Kpu(row), dtype: Dtype::U8, shape: images(batches, image) }
}

fn kpu_write(node: &Node) -> Option<Tensor> {
    let KpuConv { layer, batches, .. } = node.kpu_conv()?;
    node.operands.output.map(|_| image_tensor(layer.dst_row, batches, layer.output))
}

fn reads_of(model: &Model, source: &dyn Source, node: &Node) -> Result<Vec<Tensor>> {
    if let Some(KpuConv { layer, batches, .. }) = node.kpu_conv() {
        return Ok(vec![image_tensor(layer.src_row, batches, layer.input)]);
    }
    let mut tensors = Vec::new();
    match node.operator() {
        Operator::V3(operator) => {
            for (range, shape) in v3_reads(&operator, node, source)? {
                tensors.push(Tensor::new(&range, shape));
            }
        }
        Operator::V4(operator) => {
            for (range, shape) in v4_reads(&operator, node, source)? {
                let shape = match shape {
                    Some(shape) => shape,
                    None => model.shape_of(source, &range, node.index)?,
                };
                tensors.push(Tensor::new(&range, shape));
            }
        }
    }
    Ok(tensors)
}

/// The ranges that a node reads.
fn ranges(node: &Node, source: &dyn Source) -> Result<Vec<Range>> {
    let mut ranges: Vec<Range> = node.operands.inputs.iter().flatten().map(|i| i.range).collect();
    node.parts(source, &mut |part| {
        ranges.push(part.operand.range);
        Ok(())
    })?;
    Ok(ranges)
}

/// The ranges that a node reads, with the shapes that its body tells.
fn v4_reads(
    operator: &V4<'_>,
    node: &Node,
    source: &dyn Source,
) -> Result<Vec<(Range, Option<Shape>)>> {
    let matrices = |size: [i32; 3]| {
        let [rows, inner, columns] = size.map(|n| n as usize);
        vec![[1, 1, rows, inner], [1, 1, inner, columns]]
    };
    let shapes = match operator {
        V4::Binary(b) => vec![b.a_shape.sizes(), b.b_shape.sizes()],
        V4::QuantizedBinary(b) => vec![b.a_shape.sizes(), b.b_shape.sizes()],
        V4::MatMul(b) => matrices([b.a_rows, b.a_cols, b.b_cols]),
        V4::QuantizedMatMul(b) => matrices([b.a_rows, b.a_cols, b.b_cols]),
        V4::Conv2d(b) => vec![b.input_shape.sizes()],
        V4::Pad(b) => vec![b.input_shape.sizes()],
        V4::Reduce(b) => vec![b.input_shape.sizes()],
        V4::ReduceWindow(b) | V4::CpuReduceWindow(b) => vec![b.input_shape.sizes()],
        V4::ResizeImage(b) => vec![b.input_shape.sizes()],
        V4::Transpose(b) => vec![b.input_shape.sizes()],
        V4::StridedSlice(b) => vec![b.input_shape.sizes()],
        V4::QuantizedConv2d(b) => vec![b.input_shape.sizes()],
        V4::Conv2dTranspose(b) => vec![b.input_shape.sizes()],
        V4::CpuConv2d(b) => vec![b.input_shape.sizes()],
        V4::CpuDepthwise(b) => vec![b.input_shape.sizes()],
        V4::CpuQuantizedConv2d(b) => vec![b.input_shape.sizes()],
        V4::CpuQuantizedDepthwise(b) => vec![b.input_shape.sizes()],
        V4::KpuUpload(b) => vec![b.shape.sizes()],
        V4::Concat(_)
        | V4::TableLookup(_)
        | V4::Dequantize(_)
        | V4::Quantize(_)
        | V4::MemoryCopy(_)
        | V4::Softmax(_)
        | V4::Unary(_)
        | V4::Nnil(_)
        | V4::KpuConv(_) => vec![],
    };
    let shapes = shapes.into_iter().map(Some).chain(std::iter::repeat(None));
    Ok(ranges(node, source)?.into_iter().zip(shapes).collect())
}

/// The ranges that a layer reads, with their shapes.
fn v3_reads(operator: &V3<'_>, node: &Node, source: &dyn Source) -> Result<Vec<(Range, Shape)>> {
    let image = match operator {
        V3::QuantizedMaxPool(b) | V3::AveragePool(b) => Some(b.input_size),
        V3::ResizeNearest(b) | V3::QuantizedResizeNearest(b) => Some(b.input_size),
        V3::Flatten(b) => Some(b.size),
        V3::Upload(b) => Some(b.size),
        _ => None,
    };
    // The file does not tell the type of what floats are put together of.
    let is_float = matches!(operator, V3::Concat(_));
    Ok(ranges(node, source)?
        .into_iter()
        .map(|range| {
            let dtype = if is_float { Dtype::F32 } else { range.dtype() };
            let range = Range::new(Memory::Main, dtype, range.start, range.size);
            let flat = [1, range.elements(), 1, 1];
            (range, image.map_or(flat, |size| images(1, size.shape())))
        })
        .collect())
}

/// Bytes of parameters in the file.
fn weights(node: &Node) -> usize {
    let constants = node.operands.inputs.iter().flatten().filter(|input| {
        matches!(input.what, What::A | What::B | What::Table)
            && input.range.memory() == Memory::Constants
    });
    let constants: usize = constants.map(|input| input.range.size as usize).sum();
    let parameters = node.operands.parameters.iter().flatten();
    let bias = match node.operator() {
        // It stands in the file, but is never added.
        Operator::V4(V4::Conv2dTranspose(b)) => b.output_shape.sizes()[1] * 4,
        _ => 0,
    };
    constants + parameters.map(|parameters| parameters.span.len).sum::<usize>() + bias
}
