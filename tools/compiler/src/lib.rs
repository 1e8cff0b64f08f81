//! Compiles `.tflite` and `.onnx` models to K210 kmodels.

pub mod calibrate;
pub mod dataset;
pub mod eval;
pub mod expr;
pub mod graph;
pub mod import;
pub mod optimize;
pub mod options;
pub mod problem;
pub mod quantize;
