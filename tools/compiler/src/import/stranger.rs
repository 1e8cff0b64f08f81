//! Files that are no model to compile: what they are, and how to get one.

use crate::problem::Problem;

const KERAS: &str = "convert it in Python: tf.lite.TFLiteConverter.from_keras_model(tf.keras.models.load_model(file)).convert() gives the bytes of a .tflite";
const PYTORCH: &str = "export the model in Python: torch.onnx.export(model.eval(), torch.zeros(1, 3, height, width), \"model.onnx\", opset_version=13)";
const CAFFE: &str = "convert .prototxt and .caffemodel to .onnx, for example with the Python package caffe2onnx: python -m caffe2onnx.convert --prototxt FILE --caffemodel FILE --onnx model.onnx";

/// What a file is that is no model to compile, and what to do with it.
pub(super) fn stranger(bytes: &[u8]) -> Option<Problem> {
    known(bytes).map(|(why, advice)| Problem::general("the model file", why, advice))
}

/// Whether a file is the `saved_model.pb` of a TensorFlow SavedModel: schema version 1 and a graph. ONNX
/// begins with its version, too, which has been above 1 since its first release.
pub(super) fn is_saved_model(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x08, 1, 0x12])
}

/// The file's format, with what to do, if it is one that models are kept in.
fn known(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    // A zip archive lists its files at the end, where most texts of a network description have begun.
    let (head, tail) =
        (&bytes[..bytes.len().min(1 << 16)], &bytes[bytes.len().saturating_sub(1 << 16)..]);
    let begins = |start: &[u8]| bytes.starts_with(start);
    let has = |part: &[u8], word: &str| part.windows(word.len()).any(|w| w == word.as_bytes());
    let zip = begins(b"PK\x03\x04");
    let text = !head.contains(&0);
    Some(if bytes.is_empty() {
        ("is empty", "export the model again")
    } else if begins(b"\x89HDF") {
        ("is HDF5 (.h5), as Keras saves models", KERAS)
    } else if zip && has(tail, "model.weights.h5") {
        ("is a Keras model (.keras)", KERAS)
    } else if zip && has(tail, "data.pkl") || begins(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20") {
        ("is saved by PyTorch (.pt, .pth)", PYTORCH)
    } else if zip {
        ("is a zip archive", "unpack it, and give the .tflite or .onnx file inside")
    } else if is_saved_model(bytes) {
        (
            "is a TensorFlow SavedModel (saved_model.pb)",
            "convert its folder in Python: tf.lite.TFLiteConverter.from_saved_model(folder).convert() gives the bytes of a .tflite",
        )
    } else if begins(b"LDMK\x05\0\0\0") || begins(b"LDMK\x06\0\0\0") {
        (
            "is a kmodel of version 5 or later, which the K210's runtimes do not run",
            "give the .tflite or .onnx file that it was compiled from",
        )
    } else if begins(b"LDMK") || begins(&[3, 0, 0, 0]) {
        (
            "is a kmodel, which is compiled already",
            "see it with `kmodel info`, run it with `kmodel run`",
        )
    } else if text && (has(head, "\"weightsManifest\"") || has(head, "\"modelTopology\"")) {
        (
            "is a model of TensorFlow.js (model.json)",
            "a layers-model: tensorflowjs_converter --input_format tfjs_layers_model --output_format keras model.json model.h5, then tf.lite.TFLiteConverter.from_keras_model in Python; a graph-model: tfjs_graph_converter --output_format tf_saved_model FOLDER SAVED, then from_saved_model",
        )
    } else if text && (has(head, "layer {") || has(head, "layers {") || has(head, "layer{")) {
        ("is a network description of Caffe (.prototxt)", CAFFE)
    } else if is_frozen_graph(bytes) {
        (
            "is a frozen graph of TensorFlow 1 (.pb)",
            "convert it in Python: tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(file, [input], [output]).convert() gives the bytes of a .tflite",
        )
    } else if is_caffe_model(bytes) {
        ("is a network of Caffe (.caffemodel)", CAFFE)
    } else {
        return None;
    })
}

/// A list of nodes (field 1), the first of which begins with its name (field 1).
fn is_frozen_graph(bytes: &[u8]) -> bool {
    first_field(bytes).is_some_and(|(node, _)| named(node).is_some())
}

/// A name (field 1) and layers: field 100, or field 2 of old files.
fn is_caffe_model(bytes: &[u8]) -> bool {
    named(bytes).is_some_and(|rest| rest.starts_with(&[0xA2, 0x06]) || rest.starts_with(&[0x12]))
}

/// What follows the name that a protobuf message begins with.
fn named(message: &[u8]) -> Option<&[u8]> {
    let (name, rest) = first_field(message)?;
    let is_name = !name.is_empty() && name.iter().all(|byte| matches!(byte, b' '..=b'~'));
    is_name.then_some(rest)
}

/// The content of the field 1 that a protobuf message begins with, and what follows.
fn first_field(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = message.strip_prefix(&[0x0A])?;
    let len = prost::decode_length_delimiter(&mut rest).ok()?;
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::super::InputFormat;

    #[test]
    fn what_is_no_model_to_compile_is_named() {
        for (bytes, word, advice) in [
            (&b""[..], "empty", "again"),
            (b"\x89HDF\r\n\x1a\n", "HDF5", "from_keras_model"),
            (b"PK\x03\x04....model.weights.h5", ".keras", "from_keras_model"),
            (b"PK\x03\x04....m/data.pkl", "PyTorch", "torch.onnx.export"),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a", "PyTorch", "torch.onnx.export"),
            (b"PK\x03\x04....", "zip", "inside"),
            (b"\x08\x01\x12\xe9\xe1\x01\x0a", "SavedModel", "from_saved_model"),
            (b"\x0a\x05\x0a\x01x\x12\x00", "frozen", "from_frozen_graph"),
            (b"\x0a\x03net\xa2\x06\x00", "Caffe", "caffe2onnx"),
            (b"\x0a\x03net\x12\x00", "Caffe", "caffe2onnx"),
            (b"name: \"net\"\nlayer {\n  type: \"Input\"\n}", "Caffe", "caffe2onnx"),
            (br#"{"format": "layers-model", "modelTopology": {}}"#, "TensorFlow.js", "from_keras"),
            (b"LDMK\x04\0\0\0", "compiled already", "kmodel run"),
            (b"LDMK\x05\0\0\0", "version 5", ".tflite"),
            (b"\x03\0\0\0....", "compiled already", "kmodel run"),
            (b"something", "neither", "-i"),
        ] {
            let problem = InputFormat::of(bytes, None).unwrap_err();
            assert!(problem.why.contains(word) && problem.advice.contains(advice), "{problem}");
        }
        assert_eq!(InputFormat::of(b"something", Some(InputFormat::Onnx)), Ok(InputFormat::Onnx));
        let told = InputFormat::of(b"\x89HDF\r\n\x1a\n", Some(InputFormat::Tflite));
        assert!(told.unwrap_err().why.contains("HDF5"), "whatever the user says");
        assert_eq!(InputFormat::of(b"\x08\x07\x12\x07pytorch", None), Ok(InputFormat::Onnx));
    }
}
