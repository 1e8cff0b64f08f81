//! `kmodel infer`: every file of a data set through a model, as nncase 0.2's `ncc infer` does it.

use crate::{
    failure::{Failure, Result},
    given::{Fitting, Given},
    machine::Machine,
    model_file::ModelPath,
    picture::Resize,
    progress,
};
use clap::{Args, ValueEnum};
use kmodel_compiler::{dataset, options::DatasetFormat};
use maix_kpu::{input::Conversion, tensor::Dtype};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Arguments of `infer`.
#[derive(Args)]
pub struct InferOptions {
    #[command(flatten)]
    model: ModelPath,
    /// Folder for NAME.bin of every input NAME.*: all outputs, one behind the other
    outdir: PathBuf,
    /// Folder (or file) with the inputs
    #[arg(long, value_name = "PATH")]
    dataset: PathBuf,
    /// What lies there: pictures, or the values of the model's input type
    #[arg(long, value_enum, default_value_t = Format::Image)]
    dataset_format: Format,
    /// What to do with pictures of another size than the model's
    #[arg(long, value_enum, default_value_t = Resize::Stretch)]
    resize: Resize,
    /// Subtracted from each value that a model of floats gets, a picture's being 0..1; default: what
    /// the model's metadata says, else 0
    #[arg(long, value_name = "M", allow_hyphen_values = true)]
    input_mean: Option<f32>,
    /// Each value is divided by it after that; default: what the model's metadata says, else 1
    #[arg(long, value_name = "S")]
    input_std: Option<f32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Image,
    Raw,
}

impl InferOptions {
    /// What replaces the model's own conversion; a model of bytes gets the bytes as they are.
    fn conversion(&self, dtype: Dtype) -> Option<Conversion> {
        if dtype == Dtype::U8 || (self.input_mean, self.input_std) == (None, None) {
            return None;
        }
        let (mean, std) = (self.input_mean.unwrap_or(0.0), self.input_std.unwrap_or(1.0));
        Some(match self.dataset_format {
            Format::Image => Conversion::range(-mean / std, (1.0 - mean) / std),
            Format::Raw => Conversion::explicit(1.0, mean, std),
        })
    }

    fn read(&self, path: &Path, machine: &Machine, fitting: &Fitting) -> Result<Given> {
        let tensor = &machine.input()?;
        if self.dataset_format == Format::Image {
            return Given::picture(path, tensor, fitting);
        }
        let bytes = fs::read(path).map_err(|e| Failure::file(path, e))?;
        Ok(match tensor.dtype {
            // As numbers, so that mean and standard deviation apply.
            Dtype::F32 if bytes.len() == tensor.bytes() => {
                Given::Floats(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect())
            }
            _ => Given::Raw(bytes),
        })
    }
}

/// Runs the model on every file.
pub fn run(options: &InferOptions) -> Result<()> {
    let format = match options.dataset_format {
        Format::Image => DatasetFormat::Image,
        Format::Raw => DatasetFormat::Raw,
    };
    let files =
        dataset::files(&options.dataset, format).map_err(|e| Failure::file(&options.dataset, e))?;
    if files.is_empty() {
        return Err(Failure::new(
            format!("{}: no inputs there", options.dataset.display()),
            "give a folder of .png, .jpg or .bmp, or of raw values with --dataset-format raw",
        ));
    }
    let targets = targets(&files, &options.outdir)?;
    let mut machine = Machine::of(options.model.read_one()?)?;
    let conversion = options.conversion(machine.input()?.dtype);
    let fitting = Fitting { resize: Some(options.resize), input_range: None };
    fs::create_dir_all(&options.outdir).map_err(|e| Failure::file(&options.outdir, e))?;
    let bar = progress::bar("running", files.len());
    for (file, target) in files.iter().zip(targets) {
        let given = options.read(file, &machine, &fitting)?;
        let outputs = machine
            .forward(&[given.input()], conversion, &mut ())
            .map_err(|e| e.of(file.display()))?;
        let bytes: Vec<u8> = outputs.into_iter().flat_map(|output| output.bytes).collect();
        fs::write(&target, bytes).map_err(|e| Failure::file(&target, e))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    say!("{} results in {}", files.len(), options.outdir.display());
    Ok(())
}

/// The file for the result of each input; two inputs must not share one.
fn targets(files: &[PathBuf], folder: &Path) -> Result<Vec<PathBuf>> {
    let mut seen = BTreeMap::new();
    let mut targets = Vec::new();
    for file in files {
        let name = Path::new(file.file_name().unwrap_or_default()).with_extension("bin");
        let target = folder.join(name);
        if let Some(other) = seen.insert(target.clone(), file) {
            return Err(Failure::new(
                format!(
                    "{} and {} would both give {}",
                    other.display(),
                    file.display(),
                    target.display()
                ),
                "rename one of them",
            ));
        }
        targets.push(target);
    }
    Ok(targets)
}
