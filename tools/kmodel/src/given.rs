//! Inputs as the user gives them: raw bytes, arrays, pictures.

use crate::{
    failure::{Failure, Result},
    npy::{self, Values},
    picture::{self, Resize},
    text,
};
use clap::Args;
use kmodel_compiler::dataset::gray;
use maix_kpu::{
    input::{Conversion, Image, Input, PixelFormat},
    model::Tensor,
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How pictures become a model's input.
#[derive(Args, Clone, Copy)]
pub struct Fitting {
    /// What to do with a picture of another size than the model's; without it that is an error
    #[arg(long, value_enum)]
    pub resize: Option<Resize>,
    /// What pixels 0 and 255 become where a model takes floats; default: what the model's metadata
    /// says, else 0,1
    #[arg(long, value_name = "LOW,HIGH", value_parser = range, allow_hyphen_values = true)]
    pub input_range: Option<(f32, f32)>,
}

/// Two numbers with a comma between them.
pub fn range(text: &str) -> std::result::Result<(f32, f32), String> {
    let (low, high) = text.split_once(',').ok_or("give two numbers, such as -1,1")?;
    let number = |text: &str| {
        text.trim().parse::<f32>().ok().filter(|v| v.is_finite()).ok_or("not a number".to_string())
    };
    let range = (number(low)?, number(high)?);
    if range.0 >= range.1 {
        return Err("the first number must be the smaller one".to_string());
    }
    Ok(range)
}

impl Fitting {
    /// The conversion that replaces the model's own.
    pub fn conversion(&self) -> Option<Conversion> {
        self.input_range.map(|(low, high)| Conversion::range(low, high))
    }
}

/// What an input file holds.
pub enum Given {
    /// Bytes of the model's own element type.
    Raw(Vec<u8>),
    /// An array of bytes.
    Bytes(Vec<u8>),
    /// An array of floats.
    Floats(Vec<f32>),
    /// A picture of the model's size.
    Picture {
        /// How the pixels lie.
        format: PixelFormat,
        /// Pixels of a line.
        width: usize,
        /// Lines.
        height: usize,
        /// The pixels.
        pixels: Vec<u8>,
    },
}

impl Given {
    /// Reads a file for an input of the model.
    pub fn read(path: &Path, tensor: &Tensor, fitting: &Fitting) -> Result<Self> {
        let read = || fs::read(path).map_err(|e| Failure::file(path, e));
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("bin") => Ok(Self::Raw(read()?)),
            Some("npy") => Self::array(&read()?, tensor).map_err(|e| e.of(path.display())),
            _ => Self::picture(path, tensor, fitting),
        }
    }

    fn array(bytes: &[u8], tensor: &Tensor) -> Result<Self> {
        let array = npy::parse(bytes)?;
        let sizes = |shape: &[usize]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
        if sizes(&array.shape) != sizes(&tensor.shape) {
            return Err(Failure::new(
                format!("shape {:?}, the model wants {:?}", array.shape, tensor.shape),
                "give the array in N, C, H, W order",
            ));
        }
        Ok(match array.values {
            Values::Bytes(values) => Self::Bytes(values),
            Values::Floats(values) => Self::Floats(values),
        })
    }

    /// Reads a picture for an input of the model.
    pub fn picture(path: &Path, tensor: &Tensor, fitting: &Fitting) -> Result<Self> {
        let mut picture = picture::open(path)?;
        let wanted = tensor.image();
        if tensor.batches() != 1 || !matches!(wanted.channels, 1 | 3) {
            return Err(Failure::new(
                format!(
                    "{}: a picture cannot feed an input of shape {}",
                    path.display(),
                    text::shape(&tensor.shape)
                ),
                "give the values as .npy or .bin",
            ));
        }
        let to = (wanted.width as u32, wanted.height as u32);
        if (picture.width(), picture.height()) != to {
            let Some(resize) = fitting.resize else {
                return Err(Failure::new(
                    format!(
                        "{}: the picture is {}x{}, the model wants {}x{}",
                        path.display(),
                        picture.width(),
                        picture.height(),
                        to.0,
                        to.1
                    ),
                    "say how it is to be fitted: --resize stretch, crop or letterbox",
                ));
            };
            picture = resize.apply(&picture, to);
        }
        let (format, pixels) = match wanted.channels {
            1 => (PixelFormat::Gray, gray(&picture).into_raw()),
            _ => (PixelFormat::Rgb888, picture.into_rgb8().into_raw()),
        };
        Ok(Self::Picture { format, width: wanted.width, height: wanted.height, pixels })
    }

    /// As the session takes it.
    pub fn input(&self) -> Input<'_> {
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

/// Reads one file for every input of a model.
pub fn read_all(paths: &[PathBuf], tensors: &[Tensor], fitting: &Fitting) -> Result<Vec<Given>> {
    if paths.len() != tensors.len() {
        return Err(Failure::new(
            format!("the model has {} inputs, {} given", tensors.len(), paths.len()),
            "repeat --input for every input that `kmodel info` lists",
        ));
    }
    paths.iter().zip(tensors).map(|(path, tensor)| Given::read(path, tensor, fitting)).collect()
}
