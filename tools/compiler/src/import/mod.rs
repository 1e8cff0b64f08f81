//! From a model file to the [graph](crate::graph): `.tflite`.

mod build;
mod flatbuffer;
mod ints;
pub mod tflite;
mod tflite_ops;

use crate::{graph::Graph, problem::Problem};

/// What an importer gives.
pub struct Imported {
    /// The model.
    pub graph: Graph,
    /// What the user should know although it did not stop the import.
    pub warnings: Vec<String>,
}

/// Formats that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// TensorFlow Lite.
    Tflite,
    /// ONNX.
    Onnx,
}

impl InputFormat {
    /// The format that the bytes look like.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes.get(4..8) {
            Some(b"TFL3") => Some(Self::Tflite),
            // An ONNX file begins with its IR version, field 1 of the protobuf message.
            _ if bytes.first() == Some(&0x08) => Some(Self::Onnx),
            _ => None,
        }
    }
}

/// Reads a model.
pub fn import(bytes: &[u8], format: InputFormat) -> Result<Imported, Vec<Problem>> {
    match format {
        InputFormat::Tflite => tflite::import(bytes),
        InputFormat::Onnx => Err(vec![Problem::general(
            "the model file",
            "ONNX files cannot be read yet",
            "convert it to TensorFlow Lite first, for example with onnx2tf",
        )]),
    }
}
