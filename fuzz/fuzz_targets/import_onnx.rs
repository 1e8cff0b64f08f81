//! Any bytes as a ONNX model: problems that are told, or a kmodel that loads.
#![no_main]

use kmodel_compiler::import::InputFormat;
use libfuzzer_sys::fuzz_target;
use maix_kpu_fuzz::compile;

fuzz_target!(|data: &[u8]| compile(InputFormat::Onnx, data));
