//! From a model file to the [graph](crate::graph): `.tflite` and `.onnx`.

mod build;
mod flatbuffer;
mod half;
mod ints;
pub mod onnx;
mod onnx_ops;
pub mod onnx_proto;
mod sparse;
mod stranger;
pub mod tflite;
mod tflite_ops;

use std::path::Path;

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
    /// The format of a model file: the one that the user says, or that the bytes look like. The problem
    /// says what the file is instead.
    pub fn of(bytes: &[u8], said: Option<Self>) -> Result<Self, Problem> {
        let found = Self::detect(bytes);
        match stranger::stranger(bytes) {
            Some(problem) if found.is_none() => Err(problem),
            _ => said.or(found).ok_or_else(|| {
                Problem::general(
                    "the model file",
                    "is neither TensorFlow Lite nor ONNX",
                    "give a .tflite or .onnx file, and say which with -i",
                )
            }),
        }
    }

    /// The format that the bytes look like.
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes.get(4..8) {
            Some(b"TFL3") => Some(Self::Tflite),
            _ if stranger::is_saved_model(bytes) => None,
            // An ONNX file begins with its IR version, field 1 of the protobuf message.
            _ if bytes.first() == Some(&0x08) => Some(Self::Onnx),
            _ => None,
        }
    }
}

/// Reads a model; `folder` is where an ONNX model's external data lies.
pub fn import(
    bytes: &[u8],
    format: InputFormat,
    folder: Option<&Path>,
) -> Result<Imported, Vec<Problem>> {
    match format {
        InputFormat::Tflite => tflite::import(bytes),
        InputFormat::Onnx => onnx::import(bytes, folder),
    }
}
