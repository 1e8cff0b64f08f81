#!/bin/sh
# Writes graphs as tf.keras and PyTorch export them, with random weights, into target/exported-graphs/.
# PyTorch is Debian's, which is built for processors alone.
set -eu
cd "$(dirname "$0")/.."

if [ ! -d target/exported-graphs ]; then
    scripts/tensorflow.sh
    mkdir -p target/exporting
    target/tensorflow/bin/python tools/compiler/reference/keras_graphs.py target/exporting
    /usr/bin/python3 tools/compiler/reference/torch_graphs.py target/exporting
    mv target/exporting target/exported-graphs
fi
