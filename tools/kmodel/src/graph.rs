//! A model's nodes with what they read, from whom, and what they write.

use maix_kpu::{
    error::Result,
    kpu::memory::{ROW_BYTES, rows},
    model::{
        Model, Node, Operator, Place, Source, Tensor,
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
    pub node: Node<Operator>,
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
            kpu_write: kpu_write(&node.operator),
            weights: weights(&node.operator),
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
    let shape = [batches, image.channels, image.height, image.width];
    Tensor { place: Place::Kpu(row), dtype: Dtype::U8, shape }
}

fn kpu_write(operator: &Operator) -> Option<Tensor> {
    match operator {
        Operator::V3(V3::Conv(b)) if b.main_output.is_some() => {
            Some(image_tensor(b.layer.dst_row, 1, b.layer.output))
        }
        Operator::V4(V4::KpuConv(b)) if b.main_output.size > 0 => {
            Some(image_tensor(b.layer.dst_row, b.batches, b.layer.output))
        }
        _ => None,
    }
}

fn reads_of(model: &Model, source: &dyn Source, node: &Node<Operator>) -> Result<Vec<Tensor>> {
    match (model, &node.operator) {
        (Model::V4(model), Operator::V4(operator)) => {
            let mut tensors = Vec::new();
            for (range, shape) in v4_reads(operator, source)? {
                let shape = match shape {
                    Some(shape) => shape,
                    None => model.shape_of(source, &range, node.index)?,
                };
                let start = range.start as usize;
                let place = match range.memory {
                    Memory::Main => Place::Main(start),
                    Memory::Constants => Place::Constants(start),
                    Memory::Kpu => Place::Kpu(start / ROW_BYTES),
                };
                tensors.push(Tensor { place, dtype: range.dtype, shape });
            }
            Ok(tensors)
        }
        (_, Operator::V3(operator)) => v3_reads(operator, source),
        _ => Ok(Vec::new()),
    }
}

/// The ranges that a node reads, with the shapes that its body tells.
fn v4_reads(operator: &V4, source: &dyn Source) -> Result<Vec<(Range, Option<Shape>)>> {
    let matrices = |a: Range, b: Range, size: [i32; 3]| {
        let [rows, inner, columns] = size.map(|n| n as usize);
        vec![(a, Some([1, 1, rows, inner])), (b, Some([1, 1, inner, columns]))]
    };
    Ok(match operator {
        V4::Binary(b) => vec![(b.a, Some(b.a_shape.0)), (b.b, Some(b.b_shape.0))],
        V4::QuantizedBinary(b) => vec![(b.a, Some(b.a_shape.0)), (b.b, Some(b.b_shape.0))],
        V4::Concat(_, inputs) => {
            let mut ranges = Vec::new();
            inputs.each(source, &mut |range, _| {
                ranges.push((range, None));
                Ok(())
            })?;
            ranges
        }
        V4::MatMul(b, _) => matrices(b.a, b.b, [b.a_rows, b.a_cols, b.b_cols]),
        V4::QuantizedMatMul(b, _) => matrices(b.a, b.b, [b.a_rows, b.a_cols, b.b_cols]),
        V4::TableLookup(b) => vec![(b.input, None), (b.table, None)],
        V4::Conv2d(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::Pad(b) => vec![(b.input, Some(b.input_shape.0))],
        V4::Reduce(b) => vec![(b.input, Some(b.input_shape.0))],
        V4::ReduceWindow(b) | V4::CpuReduceWindow(b) => vec![(b.input, Some(b.input_shape.0))],
        V4::ResizeImage(b) => vec![(b.input, Some(b.input_shape.0))],
        V4::Transpose(b) => vec![(b.input, Some(b.input_shape.0))],
        V4::StridedSlice(b) => vec![(b.input, Some(b.input_shape.0))],
        V4::QuantizedConv2d(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::Conv2dTranspose(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::CpuConv2d(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::CpuDepthwise(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::CpuQuantizedConv2d(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::CpuQuantizedDepthwise(b, _) => vec![(b.input, Some(b.input_shape.0))],
        V4::KpuUpload(b) => vec![(b.input, Some(b.shape.0))],
        V4::KpuConv(b) => {
            let ImageShape { channels, height, width } = b.layer.input;
            vec![(b.kpu_input(), Some([b.batches, channels, height, width]))]
        }
        V4::Dequantize(_)
        | V4::Quantize(_)
        | V4::MemoryCopy(_)
        | V4::Softmax(_)
        | V4::Unary(_)
        | V4::Nnil(..) => operator.input().map(|input| (input, None)).into_iter().collect(),
    })
}

fn v3_reads(operator: &V3, source: &dyn Source) -> Result<Vec<Tensor>> {
    use Dtype::{F32, U8};
    let flat = |address: u32, dtype, n: u32| Tensor {
        place: Place::Main(address as usize),
        dtype,
        shape: [1, n as usize, 1, 1],
    };
    let image = |address: u32, dtype, ImageShape { channels, height, width }| Tensor {
        place: Place::Main(address as usize),
        dtype,
        shape: [1, channels, height, width],
    };
    Ok(match operator {
        V3::Add(b) => vec![flat(b.a, F32, b.count), flat(b.b, F32, b.count)],
        V3::QuantizedAdd(b) => vec![flat(b.a, U8, b.count), flat(b.b, U8, b.count)],
        V3::GlobalAveragePool(b) => vec![flat(b.input, F32, b.kernel_size * b.channels)],
        V3::QuantizedMaxPool(b) => vec![image(b.input, U8, b.input_size.shape())],
        V3::AveragePool(b) => vec![image(b.input, F32, b.input_size.shape())],
        V3::Quantize(b) => vec![flat(b.input, F32, b.count)],
        V3::Dequantize(b) => vec![flat(b.input, U8, b.count)],
        V3::Requantize(b, _) => vec![flat(b.input, U8, b.count)],
        V3::L2Normalize(b) | V3::Softmax(b) | V3::Logistic(b) => {
            vec![flat(b.input, F32, b.channels)]
        }
        V3::Concat(b) | V3::QuantizedConcat(b) => {
            let dtype = if matches!(operator, V3::Concat(_)) { F32 } else { U8 };
            let mut parts = Vec::new();
            b.each(source, &mut |range| {
                parts.push(flat(range.address, dtype, range.size / dtype.size() as u32));
                Ok(())
            })?;
            parts
        }
        V3::FullyConnected(b, _) => vec![flat(b.input, F32, b.in_channels)],
        V3::Flatten(b) => vec![image(b.input, F32, b.size.shape())],
        V3::ResizeNearest(b) => vec![image(b.input, F32, b.input_size.shape())],
        V3::QuantizedResizeNearest(b) => vec![image(b.input, U8, b.input_size.shape())],
        V3::ChannelwiseDequantize(b, _) => vec![flat(b.input, U8, b.channels * b.channel_size)],
        V3::Conv(b) => vec![image_tensor(b.layer.src_row, 1, b.layer.input)],
        V3::AddPadding(b) => vec![flat(b.input, U8, b.channels)],
        V3::RemovePadding(b) => vec![flat(b.input, U8, b.channels * 16)],
        V3::Upload(b) => vec![image(b.input, U8, b.size.shape())],
    })
}

/// Bytes of parameters in the file.
fn weights(operator: &Operator) -> usize {
    let constant = |range: &Range| match range.memory {
        Memory::Constants => range.size as usize,
        _ => 0,
    };
    match operator {
        Operator::V3(V3::Requantize(_, table)) => table.len,
        Operator::V3(V3::FullyConnected(_, w)) => w.weights.len + w.bias.len,
        Operator::V3(V3::ChannelwiseDequantize(_, params)) => params.len,
        Operator::V3(V3::Conv(b)) => b.weights.len + b.batch_norm.len + b.activation.len,
        Operator::V3(_) => 0,
        Operator::V4(V4::KpuConv(b)) => b.weights.len + b.batch_norm.len + b.activation.len,
        Operator::V4(
            V4::Conv2d(_, w)
            | V4::CpuConv2d(_, w)
            | V4::CpuDepthwise(_, w)
            | V4::QuantizedConv2d(_, w)
            | V4::CpuQuantizedConv2d(_, w)
            | V4::CpuQuantizedDepthwise(_, w)
            | V4::Conv2dTranspose(_, w),
        ) => w.weights.len + w.bias.len,
        Operator::V4(V4::MatMul(b, bias)) => constant(&b.a) + constant(&b.b) + bias.len,
        Operator::V4(V4::QuantizedMatMul(b, bias)) => constant(&b.a) + constant(&b.b) + bias.len,
        Operator::V4(V4::Binary(b)) => constant(&b.a) + constant(&b.b),
        Operator::V4(V4::QuantizedBinary(b)) => constant(&b.a) + constant(&b.b),
        Operator::V4(V4::TableLookup(b)) => constant(&b.table),
        Operator::V4(V4::Nnil(_, code)) => code.len,
        Operator::V4(_) => 0,
    }
}
