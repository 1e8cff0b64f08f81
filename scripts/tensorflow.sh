#!/bin/sh
# Installs TensorFlow, which converts and exports models, in a virtual environment: target/tensorflow/.
set -eu
cd "$(dirname "$0")/.."

if ! target/tensorflow/bin/python -c 'import tensorflow, tf_keras' 2>/dev/null; then
    python3 -m venv target/tensorflow
    target/tensorflow/bin/pip install -q --disable-pip-version-check tensorflow-cpu==2.18.1 tf_keras==2.18.0
fi
