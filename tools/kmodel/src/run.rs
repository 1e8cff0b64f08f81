//! `kmodel run`: inputs in, outputs out.

use crate::{
    check::open,
    failure::{Failure, Result},
    model_file::ModelPath,
    npy::{self, Values},
};
use clap::Args;
use maix_kpu::{
    input::{Image, Input, PixelFormat},
    kpu::{Simulator, memory::KPU_RAM_BYTES, simulator::SCRATCH_BYTES},
    model::{Node, Operator, Tensor},
    session::{
        Requirements, Session,
        trace::{Trace, Written},
    },
    tensor::Dtype,
    vision::scores::{Ranked, top_k},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `run`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    model: ModelPath,
    /// Raw values (.bin), an array (.npy) or a picture; once for every input of the model
    #[arg(long, required = true, value_name = "IN")]
    input: Vec<PathBuf>,
    /// Folder for output_0.bin, output_1.bin, ...
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print index, name and CRC-32 of what every node writes
    #[arg(long)]
    trace: bool,
    /// How many of a vector's largest values are printed
    #[arg(long, default_value_t = 5, value_name = "K")]
    top: usize,
}

/// What an input file holds.
enum Given {
    Raw(Vec<u8>),
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
    Picture { format: PixelFormat, width: usize, height: usize, pixels: Vec<u8> },
}

impl Given {
    fn read(path: &Path, tensor: &Tensor) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Failure::file(path, e))?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("bin") => Ok(Self::Raw(bytes)),
            Some("npy") => {
                let array = npy::parse(&bytes).map_err(|e| e.of(path.display()))?;
                if !array
                    .shape
                    .iter()
                    .filter(|&&d| d != 1)
                    .eq(tensor.shape.iter().filter(|&&d| d != 1))
                {
                    return Err(Failure::new(
                        format!(
                            "{}: shape {:?}, the model wants {:?}",
                            path.display(),
                            array.shape,
                            tensor.shape
                        ),
                        "give the array in N, C, H, W order",
                    ));
                }
                match array.values {
                    Values::Bytes(values) => Ok(Self::Bytes(values)),
                    Values::Floats(values) => Ok(Self::Floats(values)),
                }
            }
            _ => {
                let picture = image::load_from_memory(&bytes).map_err(|e| {
                    Failure::new(format!("{}: {e}", path.display()), "give a .png, .jpg or .bmp")
                })?;
                let (width, height) = (picture.width() as usize, picture.height() as usize);
                let (format, pixels) = match tensor.image().channels {
                    1 => (PixelFormat::Gray, picture.into_luma8().into_raw()),
                    _ => (PixelFormat::Rgb888, picture.into_rgb8().into_raw()),
                };
                Ok(Self::Picture { format, width, height, pixels })
            }
        }
    }

    fn input(&self) -> Input<'_> {
        match self {
            Self::Raw(bytes) => Input::Raw(bytes),
            Self::Bytes(bytes) => Input::Bytes(bytes),
            Self::Floats(values) => Input::Floats(values),
            &Self::Picture { format, width, height, ref pixels } => {
                Input::Image(Image { format, width, height, pixels })
            }
        }
    }
}

/// Prints the CRC-32 of every node's result.
struct PrintedTrace;

impl Trace for PrintedTrace {
    fn end(
        &mut self,
        node: &Node<Operator>,
        mut result: Written<'_>,
    ) -> maix_kpu::error::Result<()> {
        println!("{} {} {:08x}", node.index, node.operator.name(), result.crc()?);
        Ok(())
    }
}

/// Runs a model once.
pub fn run(options: &Options) -> Result<()> {
    let file = options.model.read_one()?;
    let model = open(&file)?;
    let source = &&file.bytes[..];
    if options.input.len() != model.input_count() as usize {
        return Err(Failure::new(
            format!("the model has {} inputs, {} given", model.input_count(), options.input.len()),
            "repeat --input for every input that `kmodel info` lists",
        ));
    }
    let mut memory = vec![0; Requirements::of(&model, source)?.bytes()];
    let mut session = Session::new(model, source, &mut memory)?;
    let mut given = Vec::new();
    for (index, path) in options.input.iter().enumerate() {
        given.push(Given::read(path, &session.input(index as u32)?)?);
    }
    let inputs: Vec<_> = given.iter().map(Given::input).collect();
    let (mut ram, mut scratch) = (vec![0; KPU_RAM_BYTES], vec![0; SCRATCH_BYTES]);
    let mut simulator = Simulator::new(&mut ram, &mut scratch)?;
    if options.trace {
        session.forward_traced(&mut simulator, &inputs, &mut PrintedTrace)?;
    } else {
        session.forward_traced(&mut simulator, &inputs, &mut ())?;
    }
    if let Some(folder) = &options.output {
        fs::create_dir_all(folder).map_err(|e| Failure::file(folder, e))?;
    }
    for index in 0..session.output_count() {
        let tensor = session.output(index)?;
        let mut bytes = vec![0; tensor.bytes()];
        session.read_output(&mut simulator, index, &mut bytes)?;
        println!("output {index}: {} {:?}", tensor.dtype.name(), tensor.shape);
        if tensor.image().plane() == 1 {
            print_top(&values(tensor.dtype, &bytes), options.top);
        }
        if let Some(folder) = &options.output {
            let path = folder.join(format!("output_{index}.bin"));
            fs::write(&path, &bytes).map_err(|e| Failure::file(&path, e))?;
        }
    }
    Ok(())
}

fn values(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        Dtype::U8 => bytes.iter().map(|&byte| byte.into()).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
    }
}

fn print_top(values: &[f32], count: usize) {
    let mut top = vec![Ranked::default(); count.min(values.len())];
    for Ranked { index, score } in top_k(values, &mut top) {
        println!("  {index}: {score}");
    }
}
