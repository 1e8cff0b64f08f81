//! How far the compiled model is from the float model: it runs in the simulator.

use maix_kpu::{
    error::Result,
    input::Input,
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Node},
    session::{
        Requirements, Session,
        trace::{Trace, Written},
    },
    tensor::Dtype,
};

use crate::{
    dataset::Sample,
    emit::Emitted,
    eval,
    graph::Graph,
    options::{ElementType, Options},
    program::{Place, Program},
    quantize::QParam,
};

/// Sums over a tensor: of each side's squares, of their products, and of the squared differences.
#[derive(Clone, Copy, Debug, Default)]
pub struct Difference {
    signal: f64,
    got: f64,
    product: f64,
    noise: f64,
}

impl Difference {
    /// Adds one value of each side.
    pub fn add(&mut self, expected: f32, got: f32) {
        self.signal += f64::from(expected).powi(2);
        self.got += f64::from(got).powi(2);
        self.product += f64::from(expected) * f64::from(got);
        self.noise += f64::from(expected - got).powi(2);
    }

    /// Signal over noise in decibels; infinite without noise.
    pub fn decibels(&self) -> f64 {
        10.0 * (self.signal / self.noise).log10()
    }

    /// Cosine of the angle between both sides; 1 where both are zero.
    pub fn cosine(&self) -> f64 {
        if self.signal == 0.0 && self.got == 0.0 {
            return 1.0;
        }
        self.product / (self.signal * self.got).sqrt().max(f64::MIN_POSITIVE)
    }

    /// Noise as a share of the signal.
    pub fn noise_share(&self) -> f64 {
        self.noise / self.signal.max(f64::MIN_POSITIVE)
    }
}

/// Runs a kmodel once in the simulator; inputs are bytes or floats as the model takes them.
pub fn run(kmodel: &[u8], inputs: &[Input<'_>], trace: &mut dyn Trace) -> Result<Vec<Vec<f32>>> {
    let source: &dyn maix_kpu::model::Source = &kmodel;
    let model = Model::open(source)?;
    let mut memory = vec![0; Requirements::of(&model, source)?.bytes()];
    let mut session = Session::new(model, source, &mut memory)?;
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch)?;
    session.forward_traced(&mut simulator, inputs, trace)?;
    (0..session.output_count()).map(|i| session.output_floats(i).map(<[f32]>::to_vec)).collect()
}

/// A sample as the compiled model takes it.
pub enum Fed {
    /// Bytes for a model that takes bytes.
    Bytes(Vec<u8>),
    /// Floats.
    Floats(Vec<f32>),
}

impl Fed {
    /// Real numbers as the model takes them.
    pub fn new(values: &[f32], q: Option<QParam>) -> Self {
        match q {
            Some(q) => Fed::Bytes(values.iter().map(|&v| q.quantize(v)).collect()),
            None => Fed::Floats(values.to_vec()),
        }
    }

    /// As the session takes it.
    pub fn input(&self) -> Input<'_> {
        match self {
            Fed::Bytes(bytes) => Input::Raw(bytes),
            Fed::Floats(floats) => Input::Floats(floats),
        }
    }

    /// The real numbers that the model sees.
    fn real(&self, q: Option<QParam>) -> Vec<f32> {
        match (self, q) {
            (Fed::Bytes(bytes), Some(q)) => {
                bytes.iter().map(|&b| (f32::from(b) - q.zero) * q.scale).collect()
            }
            (Fed::Bytes(bytes), None) => bytes.iter().map(|&b| b.into()).collect(),
            (Fed::Floats(floats), _) => floats.clone(),
        }
    }
}

/// The samples as the model sees them: rounded to bytes if it takes bytes.
pub fn seen(
    graph: &Graph,
    qparams: &[QParam],
    samples: &[Sample],
    options: &Options,
) -> Vec<Vec<Vec<f32>>> {
    samples
        .iter()
        .map(|sample| {
            let q = |i: usize| byte_input(graph, qparams, options, i);
            sample.iter().enumerate().map(|(i, v)| Fed::new(v, q(i)).real(q(i))).collect()
        })
        .collect()
}

/// What the bytes of an input stand for, if it takes bytes.
pub fn byte_input(
    graph: &Graph,
    qparams: &[QParam],
    options: &Options,
    input: usize,
) -> Option<QParam> {
    let takes_bytes = options.input_type() == ElementType::Uint8 && !qparams.is_empty();
    takes_bytes.then(|| qparams[graph.inputs[input]])
}

/// The error of each step's first result against the float model, over the samples; `None` where
/// it is not a whole tensor of the graph.
pub fn errors(
    graph: &Graph,
    program: &Program,
    emitted: &Emitted,
    qparams: &[QParam],
    samples: &[Sample],
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Vec<Option<Difference>> {
    let mut differences = vec![None; program.steps.len()];
    for (index, sample) in samples.iter().enumerate() {
        let q = |i: usize| byte_input(graph, qparams, options, i);
        let fed: Vec<Fed> = sample.iter().enumerate().map(|(i, v)| Fed::new(v, q(i))).collect();
        let real: Vec<Vec<f32>> = fed.iter().enumerate().map(|(i, f)| f.real(q(i))).collect();
        let mut wanted: Vec<Option<Vec<f32>>> = vec![None; graph.tensors.len()];
        let real: Vec<&[f32]> = real.iter().map(Vec::as_slice).collect();
        eval::run(graph, &real, &mut |id, x| wanted[id] = Some(x.to_vec()));
        let inputs: Vec<Input<'_>> = fed.iter().map(Fed::input).collect();
        let mut comparison = Comparison {
            program,
            steps: &emitted.steps,
            qparams,
            wanted: &wanted,
            differences: &mut differences,
        };
        // A model that the compiler has just written loads; if not, the report has no errors.
        if run(&emitted.kmodel, &inputs, &mut comparison).is_err() {
            return vec![None; program.steps.len()];
        }
        progress(index + 1, samples.len());
    }
    differences
}

struct Comparison<'c> {
    program: &'c Program,
    steps: &'c [usize],
    qparams: &'c [QParam],
    wanted: &'c [Option<Vec<f32>>],
    differences: &'c mut [Option<Difference>],
}

impl Trace for Comparison<'_> {
    fn end(&mut self, node: &Node, mut written: Written<'_>) -> Result<()> {
        let at = self.steps[node.index as usize];
        let value = &self.program.values[self.program.steps[at].writes[0]];
        let Some((tensor, expected)) =
            value.tensor.and_then(|t| Some((t, self.wanted[t].as_ref()?)))
        else {
            return Ok(());
        };
        if expected.len() != value.elements() || value.place == Place::Constant {
            return Ok(());
        }
        let mut bytes = Vec::new();
        written.pieces(&mut |piece| bytes.extend_from_slice(piece))?;
        let difference = self.differences[at].get_or_insert_default();
        match value.dtype {
            Dtype::U8 => {
                let q = self.qparams[tensor];
                for (&e, &b) in expected.iter().zip(&bytes) {
                    difference.add(e, (f32::from(b) - q.zero) * q.scale);
                }
            }
            Dtype::F32 => {
                for (&e, b) in expected.iter().zip(bytes.as_chunks::<4>().0) {
                    difference.add(e, f32::from_le_bytes(*b));
                }
            }
        }
        Ok(())
    }
}
