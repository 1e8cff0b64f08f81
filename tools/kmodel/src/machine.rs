//! A model in the simulator, with all the memory that it wants.

use crate::{
    check::open,
    failure::{Failure, Result},
    model_file::ModelFile,
    text::Notes,
};
use maix_kpu::{
    input::{Conversion, Input},
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Model, Node, Tensor},
    session::{
        Requirements, Session,
        trace::{Trace, Written},
    },
    tensor::Dtype,
};

/// A model, its working memory and the KPU's.
pub struct Machine {
    file: ModelFile,
    model: Model,
    memory: Vec<u8>,
    ram: Vec<u8>,
    scratch: Vec<u8>,
}

/// A tensor's bytes after a run.
pub struct Value {
    /// Type and shape.
    pub tensor: Tensor,
    /// Its bytes in N, C, H, W order.
    pub bytes: Vec<u8>,
}

impl Value {
    /// The numbers: bytes count as they are.
    pub fn numbers(&self) -> Vec<f32> {
        match self.tensor.dtype {
            Dtype::U8 => self.bytes.iter().map(|&byte| byte.into()).collect(),
            Dtype::F32 => self.bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
        }
    }
}

impl Machine {
    /// For a model.
    pub fn of(file: ModelFile) -> Result<Self> {
        let model = open(&file)?;
        let memory = vec![0; Requirements::of(&model, &&file.bytes[..])?.bytes()];
        let (ram, scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
        Ok(Self { file, model, memory, ram, scratch })
    }

    /// The model's metadata.
    pub fn notes(&self) -> Notes {
        Notes::of(&self.model, &self.file.bytes)
    }

    /// Type and shape of every input.
    pub fn inputs(&self) -> Result<Vec<Tensor>> {
        let source = &&self.file.bytes[..];
        (0..self.model.input_count()).map(|i| Ok(self.model.input(source, i)?)).collect()
    }

    /// The only input.
    pub fn input(&self) -> Result<Tensor> {
        match self.inputs()?[..] {
            [input] => Ok(input),
            ref inputs => Err(Failure::new(
                format!("{}: the model has {} inputs, not one", self.file.name, inputs.len()),
                "use `kmodel run`, which takes --input several times",
            )),
        }
    }

    /// Runs the model once and gives its outputs.
    pub fn forward(
        &mut self,
        inputs: &[Input<'_>],
        conversion: Option<Conversion>,
        trace: &mut dyn Trace,
    ) -> Result<Vec<Value>> {
        let source = &&self.file.bytes[..];
        let mut session = Session::new(self.model, source, &mut self.memory)?;
        if let Some(conversion) = conversion {
            session.set_conversion(conversion);
        }
        let mut simulator = Simulator::new(&mut self.ram, &mut self.scratch)?;
        session.forward_traced(&mut simulator, inputs, trace)?;
        let mut outputs = Vec::new();
        for index in 0..session.output_count() {
            let tensor = session.output(index)?;
            let mut bytes = vec![0; tensor.bytes()];
            session.read_output(&mut simulator, index, &mut bytes)?;
            outputs.push(Value { tensor, bytes });
        }
        Ok(outputs)
    }
}
/// Keeps what every node wrote.
#[derive(Default)]
pub struct Recorder {
    /// Name of the node's operator and its result, in order.
    pub nodes: Vec<(&'static str, Value)>,
}

impl Trace for Recorder {
    fn end(&mut self, node: &Node, mut result: Written<'_>) -> maix_kpu::error::Result<()> {
        let mut bytes = Vec::new();
        result.pieces(&mut |piece| bytes.extend_from_slice(piece))?;
        self.nodes.push((node.name(), Value { tensor: result.tensor()?, bytes }));
        Ok(())
    }
}
