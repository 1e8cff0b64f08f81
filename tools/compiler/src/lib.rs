//! Compiles `.tflite` and `.onnx` models to kmodels.
