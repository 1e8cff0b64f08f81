//! The bytes of a kmodel v3: docs/formats.md, section v3. It has fewer operators than v4; what it
//! lacks is refused, every step at once.

use maix_kpu::{
    error::Error,
    kpu::{layer::ACTIVATION_BYTES, memory::ROW_BYTES},
    model::{
        node::NodeHeader,
        reader::Field,
        v3::{Header, OutputRange, layer::*},
    },
    tensor::Dtype,
};

use super::{EmitError, Placed, kpu_layer_words};
use crate::{
    graph::{BinaryOp, ReduceOp},
    program::{Clamp, FULL, Factors, KpuLayer, Place, Program, Shape, Step, StepOp, ValueId},
    quantize::QParam,
};

/// A layer before its place in the file is known.
struct Part {
    kind: u32,
    body: Vec<u8>,
    /// The parameters of a convolution, and whether it writes to main memory.
    conv: Option<(usize, Option<u32>)>,
    step: usize,
}

/// The file, and for each of its layers the step that it does.
pub fn file(program: &Program, placed: &Placed) -> Result<(Vec<u8>, Vec<usize>), EmitError> {
    let mut parts = Parts { program, placed, list: Vec::new(), refused: Vec::new() };
    parts.check_input();
    for at in 0..program.steps.len() {
        if let Err(why) = parts.step(at) {
            parts.refused.push((at, why));
        }
    }
    if !parts.refused.is_empty() {
        return Err(EmitError::Refused(parts.refused));
    }
    let list = parts.list;
    let mut file = Vec::new();
    let header = Header {
        version: 3,
        flags: 1,
        arch: 0,
        layers: list.len() as u32,
        lowest_row: 0,
        main_memory: placed.arena as u32,
        outputs: program.outputs.len() as u32,
    };
    write(&header, &mut file);
    for &id in &program.outputs {
        let size = program.values[id].bytes() as u32;
        write(&OutputRange { address: placed.starts[id] as u32, size }, &mut file);
    }
    let first = file.len() + 8 * list.len();
    let mut bodies = Vec::new();
    for part in &list {
        let begin = bodies.len();
        match part.conv {
            None => bodies.extend(&part.body),
            Some((at, main)) => conv(program, placed, at, main, first + begin, &mut bodies)
                .map_err(|error| EmitError::Invalid { step: at, error })?,
        }
        let end = (first + bodies.len()).next_multiple_of(8);
        bodies.resize(end - first, 0);
        let body_size = (bodies.len() - begin) as u32;
        write(&NodeHeader { opcode: part.kind, body_size }, &mut file);
    }
    file.extend(bodies);
    Ok((file, list.into_iter().map(|p| p.step).collect()))
}

fn write(field: &impl Field, to: &mut Vec<u8>) {
    field.write(&mut |piece| to.extend_from_slice(piece));
}

/// A convolution's body, which begins at `offset` of the file.
fn conv(
    program: &Program,
    placed: &Placed,
    at: usize,
    main: Option<u32>,
    offset: usize,
    bodies: &mut Vec<u8>,
) -> Result<(), Error> {
    let step = &program.steps[at];
    let StepOp::Kpu(kpu) = &step.op else { unreachable!("only KPU steps are convolutions") };
    let mut layer = kpu_layer_words(program, &placed.starts, step, kpu)?;
    layer.send_out = main.is_some();
    let KpuLayer { parameters, .. } = &**kpu;
    let words: Vec<u8> = layer.encode().iter().flat_map(|w| w.to_le_bytes()).collect();
    let batch_norm: Vec<u8> = parameters.batch_norm.iter().flat_map(|b| b.encode()).collect();
    let activation: [u8; ACTIVATION_BYTES] = parameters.activation.encode();
    let mut blocks = vec![0; 24];
    let mut place = |align: usize, block: &[u8]| {
        let at = (offset + blocks.len()).next_multiple_of(align);
        blocks.resize(at - offset, 0);
        blocks.extend_from_slice(block);
        at as u32
    };
    let head = ConvHead {
        main_output: main.unwrap_or(0),
        layer_offset: place(8, &words),
        weights_offset: place(128, &parameters.weights),
        bn_offset: place(128, &batch_norm),
        act_offset: place(256, &activation),
    };
    let mut fields = Vec::new();
    write(&u32::from(main.is_some()), &mut fields);
    write(&head, &mut fields);
    blocks[..fields.len()].copy_from_slice(&fields);
    bodies.extend(blocks);
    Ok(())
}

struct Parts<'p> {
    program: &'p Program,
    placed: &'p Placed,
    list: Vec<Part>,
    refused: Vec<(usize, String)>,
}

type Outcome = Result<(), String>;

impl Parts<'_> {
    /// The picture goes straight to the first convolution, or the numbers to a dense layer.
    fn check_input(&mut self) {
        let first = self.program.steps.first();
        let fits = match (&self.program.inputs[..], first) {
            (&[input], Some(step)) => {
                let at_start = match &step.op {
                    StepOp::Kpu(layer) => {
                        self.program.values[input].place == Place::Kpu && layer.skip_lines == 0
                    }
                    StepOp::MatMul { .. } => self.program.values[input].dtype == Dtype::F32,
                    _ => false,
                };
                at_start && step.reads[0] == input
            }
            _ => false,
        };
        if !fits {
            let why = "a version 3 model has one input, which a convolution (uint8) or a dense layer (float) reads first";
            self.refused.push((0, why.into()));
        }
    }

    fn address(&self, id: ValueId) -> Result<u32, String> {
        match self.program.values[id].place {
            Place::Main => Ok(self.placed.starts[id] as u32),
            Place::Constant => Err("a constant operand".into()),
            Place::Kpu => Err("an operand in KPU RAM".into()),
        }
    }

    fn row(&self, id: ValueId) -> u32 {
        (self.placed.starts[id] / ROW_BYTES) as u32
    }

    fn add(&mut self, step: usize, kind: u32, body: &impl Field, tail: &[u8]) -> Outcome {
        let mut bytes = vec![0; 4];
        write(body, &mut bytes);
        bytes.extend_from_slice(tail);
        self.list.push(Part { kind, body: bytes, conv: None, step });
        Ok(())
    }

    /// Whether the step makes single pixels into 4x4 images for the upload right behind it.
    fn frames_pixels(&self, at: usize) -> bool {
        let steps = &self.program.steps;
        let (Some(step), Some(next)) = (steps.get(at), steps.get(at + 1)) else { return false };
        let StepOp::Pad { pads, .. } = &step.op else { return false };
        let [_, _, h, w] = self.program.values[step.reads[0]].shape;
        matches!(next.op, StepOp::Upload)
            && next.reads[0] == step.writes[0]
            && (h, w) == (1, 1)
            && *pads == [(0, 0), (0, 0), (0, 3), (0, 3)]
    }

    fn step(&mut self, at: usize) -> Outcome {
        let program = self.program;
        let step: &Step = &program.steps[at];
        let (x, y) = (step.reads[0], step.writes[0]);
        let value = |id: ValueId| &program.values[id];
        let count = value(y).elements() as u32;
        let lacks = || Err("version 3 has no such operator".to_string());
        match &step.op {
            StepOp::Kpu(_) => {
                let main = step.writes.get(1).map(|&id| self.address(id)).transpose()?;
                let part = |main| Part { kind: 10240, body: vec![], conv: Some((at, main)), step: at };
                if main.is_some() {
                    self.list.push(part(main));
                }
                // A layer that streams to main memory may leave KPU RAM as it was.
                let root = program.root(y).0;
                let reads = |s: &Step| s.reads.iter().any(|&r| program.root(r).0 == root);
                if main.is_none() || program.steps[at + 1..].iter().any(reads) {
                    self.list.push(part(None));
                }
                Ok(())
            }
            StepOp::Pad { .. } if self.frames_pixels(at) => Ok(()),
            StepOp::Upload if at > 0 && self.frames_pixels(at - 1) => {
                let source = program.steps[at - 1].reads[0];
                let channels = value(source).shape[1] as u32;
                let body = AddPadding { input: self.address(source)?, row: self.row(y), channels };
                self.add(at, 10241, &body, &[])
            }
            StepOp::Upload => {
                let body = Upload { input: self.address(x)?, row: self.row(y), size: size(value(y).shape) };
                self.add(at, 10243, &body, &[])
            }
            StepOp::Slice { begin: [0, 0, 0, 0], .. }
                if value(x).dtype == Dtype::U8
                    && value(x).shape[2..] == [4, 4]
                    && value(y).shape[2..] == [1, 1] =>
            {
                let channels = value(y).shape[1] as u32;
                let body = RemovePadding { input: self.address(x)?, output: self.address(y)?, channels };
                self.add(at, 10242, &body, &[])
            }
            StepOp::Dequantize(q) | StepOp::Quantize(q) => {
                let kind = if matches!(step.op, StepOp::Quantize(_)) { 11 } else { 12 };
                let (input, output, param) = (self.address(x)?, self.address(y)?, param(*q));
                self.add(at, kind, &Quantization { input, output, count, param }, &[])
            }
            StepOp::Binary { op: BinaryOp::Add, clamp } if self.is_plain(step, *clamp) => {
                let (a, b, output) = (self.address(x)?, self.address(step.reads[1])?, self.address(y)?);
                self.add(at, 1, &Add { a, b, output, count }, &[])
            }
            StepOp::QuantizedBinary { op: BinaryOp::Add, a, b, out } if self.is_plain(step, FULL) => {
                let body = QuantizedAdd {
                    a: self.address(x)?,
                    b: self.address(step.reads[1])?,
                    output: self.address(y)?,
                    count,
                    a_scale: operand(*a),
                    b_scale: operand(*b),
                    output_scale: operand(*out),
                };
                self.add(at, 2, &body, &[])
            }
            StepOp::Reduce { op: ReduceOp::Mean } if value(y).shape[2..] == [1, 1] => {
                let [n, c, h, w] = value(x).shape;
                if value(y).shape[..2] != [n, c] {
                    return lacks();
                }
                let (input, output) = (self.address(x)?, self.address(y)?);
                let (kernel_size, channels) = ((h * w) as u32, (n * c) as u32);
                self.add(at, 5, &GlobalAveragePool { input, output, kernel_size, channels }, &[])
            }
            StepOp::ReduceWindow { op: ReduceOp::Mean, window, clamp }
                if *clamp == FULL && window.dilation == [1, 1] =>
            {
                let [kernel_height, kernel_width] = window.kernel.map(|v| v as u32);
                let [stride_height, stride_width] = window.stride.map(|v| v as u32);
                let body = Pool {
                    input: self.address(x)?,
                    output: self.address(y)?,
                    input_size: size(value(x).shape),
                    output_size: size(value(y).shape),
                    kernel_width,
                    kernel_height,
                    stride_width,
                    stride_height,
                    pad_width: window.pad[1].0 as u32,
                    pad_height: window.pad[0].0 as u32,
                };
                self.add(at, 9, &body, &[0; 4])
            }
            StepOp::Concat { axis } if value(y).shape[..*axis].iter().product::<usize>() == 1 => {
                let mut tail = Vec::new();
                for &id in &step.reads {
                    let (address, size) = (self.address(id)?, value(id).bytes() as u32);
                    write(&MainRange { address, size }, &mut tail);
                }
                let kind = if value(y).dtype == Dtype::U8 { 17 } else { 16 };
                let head = Concat { output: self.address(y)?, count: step.reads.len() as u32 };
                self.add(at, kind, &head, &tail)
            }
            StepOp::MatMul { size: [1, k, n], clamp, bias } => {
                let weights = value(step.reads[1]);
                let (Some(data), Some(activation)) = (&weights.data, activation(*clamp)) else {
                    return lacks();
                };
                let body = FullyConnected {
                    input: self.address(x)?,
                    output: self.address(y)?,
                    in_channels: *k as u32,
                    out_channels: *n as u32,
                    activation: activation.into(),
                };
                let numbers = data.as_chunks::<4>().0;
                let turned = (0..*n).flat_map(|o| (0..*k).flat_map(move |i| numbers[i * n + o]));
                let tail: Vec<u8> = turned.chain(bias.iter().flat_map(|b| b.to_le_bytes())).collect();
                self.add(at, 18, &body, &tail)
            }
            StepOp::Softmax { inner, beta: 1.0 } if *inner == value(x).elements() => {
                let (input, output) = (self.address(x)?, self.address(y)?);
                self.add(at, 15, &Vector { input, output, channels: count }, &[])
            }
            StepOp::Transpose { perm: [0, 1, 3, 2] }
                if value(x).dtype == Dtype::F32 && value(x).shape[..2] == [1, 1] =>
            {
                let [_, _, channels, pixels] = value(x).shape;
                let (input, output) = (self.address(x)?, self.address(y)?);
                let size = size([1, channels, 1, pixels]);
                self.add(at, 20, &Flatten { input, output, size }, &[])
            }
            StepOp::Resize { bilinear: false, align_corners: false } => {
                let [_, _, h, w] = value(y).shape;
                let body = ResizeNearest {
                    input: self.address(x)?,
                    output: self.address(y)?,
                    input_size: size(value(x).shape),
                    out_width: w as u32,
                    out_height: h as u32,
                    align_corners: 0,
                };
                self.add(at, if value(x).dtype == Dtype::U8 { 23 } else { 22 }, &body, &[])
            }
            StepOp::Pad { .. } | StepOp::Slice { .. } => Err(
                "version 3 cannot frame or crop an image; the KPU reads images of 4x4 and more, of even sizes where a convolution has step 2"
                    .into(),
            ),
            _ => lacks(),
        }
    }

    /// Both operands have the result's shape, and nothing is cut off.
    fn is_plain(&self, step: &Step, clamp: Clamp) -> bool {
        let shape = |id: ValueId| self.program.values[id].shape;
        clamp == FULL && step.reads.iter().all(|&id| shape(id) == shape(step.writes[0]))
    }
}

fn size([_, c, h, w]: Shape) -> ImageSize {
    ImageSize { width: w as u32, height: h as u32, channels: c as u32 }
}

fn param(q: QParam) -> QuantParam {
    QuantParam { scale: q.scale, bias: -q.zero * q.scale }
}

fn operand(f: Factors) -> OperandScale {
    OperandScale { offset: f.offset, mul: f.mul, shift: f.shift }
}

fn activation(clamp: Clamp) -> Option<Activation> {
    match clamp {
        FULL => Some(Activation::None),
        (0.0, f32::MAX) => Some(Activation::Relu),
        (0.0, 6.0) => Some(Activation::Relu6),
        _ => None,
    }
}
