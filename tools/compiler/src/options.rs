//! What a compilation can be told; names, meanings and defaults are those of nncase 0.2's `ncc`.

use std::path::PathBuf;

use crate::import::InputFormat;

/// Opcode of table lookups, which some firmwares lack.
pub const TABLE_LOOKUP: u32 = 0x12;
/// Opcode of functions as byte code, which some firmwares lack.
pub const NNIL: u32 = 0x14;

/// Options of a compilation.
#[derive(Clone, Debug)]
pub struct Options {
    /// Format of the model file; found out from its bytes if not given.
    pub input_format: Option<InputFormat>,
    /// What the convolutions compute with.
    pub inference_type: ElementType,
    /// What the compiled model is fed with; that of the inference if not given.
    pub input_type: Option<ElementType>,
    /// Folder or file to calibrate with.
    pub dataset: Option<PathBuf>,
    /// What lies in the data set.
    pub dataset_format: DatasetFormat,
    /// Order of the values in a raw data set.
    pub layout: Layout,
    /// Taken from each value (a picture's are 0..1); 0 if not given.
    pub input_mean: Option<f32>,
    /// Each value is divided by it after that; 1 if not given.
    pub input_std: Option<f32>,
    /// What byte 0 and byte 255 of the input stand for. If it is not given, mean and std say it, and if
    /// they are not given either, it is 0 and 1 for pictures and what raw data covers.
    pub input_range: Option<(f32, f32)>,
    /// Folder of the files that an ONNX model keeps its weights in, if it does not hold them itself.
    pub model_folder: Option<PathBuf>,
    /// How ranges are chosen.
    pub calibrate_method: CalibrateMethod,
    /// Weights that spread further stay float. Without a value none do, since every output channel
    /// has a scale of its own.
    pub weights_quantize_threshold: Option<f32>,
    /// Matrix products with fewer weights, and CPU operators with fewer results, stay float.
    pub output_quantize_threshold: usize,
    /// Operators of two operands stay float.
    pub no_quantized_binary: bool,
    /// Layers stay in float where bytes would spoil the outputs.
    pub float_fallback: bool,
    /// Seconds that may be spent on a better layout of memory; 0 takes the first that is found.
    pub max_allocator_solve_secs: u32,
    /// Version of the kmodel to write.
    pub kmodel_version: KmodelVersion,
    /// Opcodes beyond those that every MaixPy firmware has: [`TABLE_LOOKUP`], [`NNIL`].
    pub allowed_ops: Vec<u32>,
    /// Class names for the metadata.
    pub labels: Vec<String>,
    /// The graph after each pass is kept, for `--dump-ir`.
    pub keep_passes: bool,
}

/// What numbers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit float.
    Float,
    /// Byte with a scale and a zero point.
    Uint8,
}

/// What lies in a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetFormat {
    /// Pictures; they are resized and get the channels that the model wants.
    Image,
    /// The input's floats, one file after the other.
    Raw,
}

/// Order of an image's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Plane after plane.
    Nchw,
    /// Pixel after pixel.
    Nhwc,
}

/// How the range of a tensor is chosen from what calibration saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalibrateMethod {
    /// From the smallest to the largest value.
    NoClip,
    /// Least squared error.
    L2,
    /// Least Kullback-Leibler divergence.
    Kld,
}

/// Version of the kmodel to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmodelVersion {
    /// nncase 0.1's format, for old firmware; few operators.
    V3,
    /// nncase 0.2's format.
    V4,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            input_format: None,
            inference_type: ElementType::Uint8,
            input_type: None,
            dataset: None,
            dataset_format: DatasetFormat::Image,
            layout: Layout::Nchw,
            input_mean: None,
            input_std: None,
            input_range: None,
            model_folder: None,
            calibrate_method: CalibrateMethod::NoClip,
            weights_quantize_threshold: None,
            output_quantize_threshold: 1024,
            no_quantized_binary: false,
            float_fallback: true,
            max_allocator_solve_secs: 60,
            kmodel_version: KmodelVersion::V4,
            allowed_ops: Vec::new(),
            labels: Vec::new(),
            keep_passes: false,
        }
    }
}

impl Options {
    /// Type of the compiled model's input.
    pub fn input_type(&self) -> ElementType {
        self.input_type.unwrap_or(self.inference_type)
    }

    /// A value of the data set as the model sees it, by mean and std.
    pub fn normalized(&self, value: f32) -> f32 {
        (value - self.input_mean.unwrap_or(0.0)) / self.input_std.unwrap_or(1.0)
    }

    /// What pixel 0 and pixel 255 become.
    pub fn pixel_range(&self) -> (f32, f32) {
        self.input_range.unwrap_or((self.normalized(0.0), self.normalized(1.0)))
    }

    /// Whether the firmware has an opcode that not all have.
    pub fn allows(&self, opcode: u32) -> bool {
        self.kmodel_version == KmodelVersion::V4 && self.allowed_ops.contains(&opcode)
    }

    /// Whether mean, std or range were given.
    pub fn has_pixel_range(&self) -> bool {
        self.input_range.is_some() || self.input_mean.is_some() || self.input_std.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_0_to_1_if_nothing_is_said() {
        assert_eq!(Options::default().pixel_range(), (0.0, 1.0));
        assert!(!Options::default().has_pixel_range());
        assert!(Options { input_mean: Some(0.0), ..Options::default() }.has_pixel_range());
    }

    #[test]
    fn ranges_are_those_of_nccs_manual() {
        let range = |mean, std| {
            let (input_mean, input_std) = (Some(mean), Some(std));
            Options { input_mean, input_std, ..Options::default() }.pixel_range()
        };
        assert_eq!(range(0.0, 1.0), (0.0, 1.0));
        assert_eq!(range(0.5, 0.5), (-1.0, 1.0));
        assert!((range(0.0, 0.0039216).1 - 255.0).abs() < 0.01);
        let options = Options { input_range: Some((-1.0, 1.0)), ..Options::default() };
        assert_eq!(options.pixel_range(), (-1.0, 1.0));
    }
}
