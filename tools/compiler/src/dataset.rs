//! Calibration data: pictures or raw floats, checked file by file.

use std::path::{Path, PathBuf};

use image::{DynamicImage, GrayImage, Luma, imageops::FilterType};
use rayon::prelude::*;

use crate::{
    options::{DatasetFormat, Layout, Options},
    problem::Problem,
};

/// The inputs of one run, one list for each of the model's inputs, in the model's order.
pub type Sample = Vec<Vec<f32>>;

/// Files to calibrate with.
pub struct Dataset<'o> {
    files: Vec<PathBuf>,
    shapes: Vec<Vec<usize>>,
    options: &'o Options,
}

/// What became of a file.
pub enum Loaded {
    /// It can be used.
    Sample(Sample),
    /// It says nothing; the text tells why.
    Skipped(String),
}

const PICTURES: [&str; 4] = ["png", "jpg", "jpeg", "bmp"];

impl<'o> Dataset<'o> {
    /// The files at `path` (a folder with all below it, or one file) for inputs of `shapes`.
    pub fn open(
        path: &Path,
        shapes: Vec<Vec<usize>>,
        options: &'o Options,
    ) -> Result<Self, Problem> {
        let files = files(path, options.dataset_format).map_err(|error| {
            Problem::general(
                path.display().to_string(),
                format!("cannot be read: {error}"),
                "check the path given with --dataset",
            )
        })?;
        if options.dataset_format == DatasetFormat::Image
            && !matches!(&shapes[..], [s] if s.len() == 4 && matches!(s[1], 1 | 3))
        {
            return Err(Problem::general(
                "the model's input",
                format!(
                    "pictures cannot feed inputs of shapes {shapes:?}; one input of 1 or 3 planes can be fed"
                ),
                "give --dataset-format raw and files of 32-bit floats",
            ));
        }
        if files.is_empty() {
            let others = self::files(path, DatasetFormat::Raw).unwrap_or_default();
            let why = match &others[..] {
                [] => "holds no file to calibrate with".to_string(),
                [first, ..] => format!(
                    "holds no picture: .png, .jpg and .bmp are read, and its {} files end otherwise, such as {}",
                    others.len(),
                    first.display()
                ),
            };
            return Err(Problem::general(
                path.display().to_string(),
                why,
                "put 20 to 200 typical inputs there (.png, .jpg, .bmp; any file with --dataset-format raw)",
            ));
        }
        Ok(Self { files, shapes, options })
    }

    /// Number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are no files; `open` refuses that.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Loads files `from..to` on all cores.
    pub fn load(&self, from: usize, to: usize) -> Vec<Result<Loaded, Problem>> {
        self.files[from..to].par_iter().map(|file| self.load_file(file)).collect()
    }

    fn load_file(&self, file: &Path) -> Result<Loaded, Problem> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| {
            Problem::general(
                &name,
                format!("cannot be read: {error}"),
                "check the file's permissions",
            )
        })?;
        if bytes.is_empty() {
            return Ok(Loaded::Skipped(format!("{name} is empty")));
        }
        let mut sample = match self.options.dataset_format {
            DatasetFormat::Image => match image::load_from_memory(&bytes) {
                Ok(picture) => vec![planes(&picture, &self.shapes[0])],
                Err(error) => {
                    return Ok(Loaded::Skipped(format!("{name} is not a picture: {error}")));
                }
            },
            DatasetFormat::Raw => self.raw(&name, &bytes)?,
        };
        let constant = |x: &Vec<f32>| x.len() > 1 && x.iter().all(|&v| v == x[0]);
        if sample.iter().all(constant) {
            return Ok(Loaded::Skipped(format!("{name} has the same value everywhere")));
        }
        if sample.iter().flatten().any(|v| !v.is_finite()) {
            return Ok(Loaded::Skipped(format!("{name} holds a number that is not finite")));
        }
        let (low, high) = self.options.pixel_range();
        let seen = |value: f32| match self.options.dataset_format {
            DatasetFormat::Image => low + value * (high - low),
            DatasetFormat::Raw => self.options.normalized(value),
        };
        sample.iter_mut().flatten().for_each(|value| *value = seen(*value));
        Ok(Loaded::Sample(sample))
    }

    fn raw(&self, name: &str, bytes: &[u8]) -> Result<Sample, Problem> {
        let counts: Vec<usize> = self.shapes.iter().map(|s| s.iter().product()).collect();
        let total: usize = counts.iter().sum();
        if bytes.len() != 4 * total {
            return Err(Problem::general(
                name,
                format!(
                    "holds {} bytes; the model's input needs {} ({total} floats of 4 bytes)",
                    bytes.len(),
                    4 * total
                ),
                "write the input as 32-bit floats, or use --dataset-format image for pictures",
            ));
        }
        let mut values =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")));
        Ok(self
            .shapes
            .iter()
            .zip(counts)
            .map(|(shape, n)| {
                let x: Vec<f32> = values.by_ref().take(n).collect();
                match (self.options.layout, &shape[..]) {
                    (Layout::Nhwc, &[n, c, h, w]) => {
                        crate::eval::transpose(&[0, 3, 1, 2], &x, &[n, h, w, c])
                    }
                    _ => x,
                }
            })
            .collect())
    }
}

/// A picture as planes of 0..1, resized to `shape` (N, C, H, W); grey if one plane is wanted.
pub fn planes(picture: &DynamicImage, shape: &[usize]) -> Vec<f32> {
    let (channels, height, width) = (shape[1], shape[2] as u32, shape[3] as u32);
    let picture = if (picture.width(), picture.height()) == (width, height) {
        picture.clone()
    } else {
        picture.resize_exact(width, height, FilterType::Triangle)
    };
    let scaled = |v: u8| f32::from(v) / 255.0;
    if channels == 1 {
        return gray(&picture).into_raw().into_iter().map(scaled).collect();
    }
    let pixels = picture.to_rgb8().into_raw();
    (0..3).flat_map(|c| pixels.iter().skip(c).step_by(3).copied().map(scaled)).collect()
}

/// Brightness as cameras and OpenCV have it: 0.299 R + 0.587 G + 0.114 B, rounded.
pub fn gray(picture: &DynamicImage) -> GrayImage {
    if !picture.color().has_color() {
        return picture.to_luma8();
    }
    let rgb = picture.to_rgb8();
    GrayImage::from_fn(rgb.width(), rgb.height(), |x, y| {
        let [r, g, b] = rgb.get_pixel(x, y).0.map(u32::from);
        Luma([((299 * r + 587 * g + 114 * b + 500) / 1000) as u8])
    })
}

/// The files at `path` (a folder with all below it, or one file), sorted; of pictures those alone that
/// have an ending of one.
pub fn files(path: &Path, format: DatasetFormat) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect(path, &mut files)?;
    if format == DatasetFormat::Image {
        files.retain(|file| {
            let extension = file.extension().and_then(|e| e.to_str()).unwrap_or_default();
            PICTURES.contains(&extension.to_ascii_lowercase().as_str())
        });
    }
    files.sort();
    Ok(files)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        std::fs::metadata(path)?;
        files.push(path.to_path_buf());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    #[test]
    fn gray_is_that_of_cameras() {
        let picture: DynamicImage = RgbImage::from_pixel(1, 1, Rgb([255, 0, 0])).into();
        assert_eq!(gray(&picture).get_pixel(0, 0).0, [76]);
    }
}
