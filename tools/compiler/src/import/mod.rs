//! From a model file to the [graph](crate::graph): `.tflite` and `.onnx`.

mod build;
mod flatbuffer;
mod half;
mod ints;
pub mod onnx;
mod onnx_ops;
pub mod onnx_proto;
mod sparse;
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

/// What a file is that is no model to compile, and what to do with it.
pub fn stranger(bytes: &[u8]) -> Problem {
    let (why, advice) = if bytes.is_empty() {
        ("is empty", "export the model again")
    } else if bytes.starts_with(b"\x89HDF") {
        (
            "is HDF5, as Keras saves models",
            "convert it in Python: tf.lite.TFLiteConverter.from_keras_model(model).convert() gives the bytes of a .tflite",
        )
    } else if bytes.starts_with(b"PK\x03\x04") {
        (
            "is a zip archive, as Keras (.keras) and PyTorch (.pt) save models",
            "convert it: tf.lite.TFLiteConverter.from_keras_model for Keras, torch.onnx.export for PyTorch",
        )
    } else if bytes.starts_with(b"LDMK") || bytes.starts_with(&[3, 0, 0, 0]) {
        (
            "is a kmodel, which is compiled already",
            "see it with `kmodel info`, run it with `kmodel run`",
        )
    } else {
        (
            "is neither TensorFlow Lite nor ONNX",
            "give a .tflite or .onnx file, and say which with -i",
        )
    };
    Problem::general("the model file", why, advice)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_to_compile_is_named() {
        for (bytes, word) in [
            (&b""[..], "empty"),
            (b"\x89HDF\r\n\x1a\n", "Keras"),
            (b"PK\x03\x04....", ".pt"),
            (b"LDMK\x04\0\0\0", "compiled already"),
            (b"\x03\0\0\0....", "compiled already"),
            (b"something", "neither"),
        ] {
            assert_eq!(InputFormat::detect(bytes), None);
            assert!(stranger(bytes).why.contains(word), "{bytes:?}");
        }
    }
}
