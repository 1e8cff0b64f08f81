#!/bin/sh
# Installs LiteRT, TensorFlow Lite's own interpreter, in a virtual environment: target/litert/.
# Tests compare our compiler with it (tools/compiler/reference/litert.py).
set -eu
cd "$(dirname "$0")/.."

command -v python3 >/dev/null || { echo "litert: python3 is missing" >&2; exit 1; }
if ! target/litert/bin/python -c 'import ai_edge_litert.interpreter' 2>/dev/null; then
    python3 -m venv target/litert
    target/litert/bin/pip install -q --disable-pip-version-check ai-edge-litert==2.3.0 numpy
fi
