"""Turns a tf.keras model that TensorFlow.js keeps (a "layers-model") into a .tflite file.

    layers_model.py FOLDER MODEL.tflite

FOLDER holds model.json and the files of weights that it names. Weights may be bytes with a scale.
"""

import json
import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
import tf_keras


def weights(folder, manifest):
    """The arrays of all weights by name."""
    arrays = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        at = 0
        for entry in group["weights"]:
            scale = entry.get("quantization", {"dtype": entry["dtype"], "scale": 1.0, "min": 0.0})
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, scale["dtype"], count, at)
            at += values.nbytes
            values = values * np.float32(scale["scale"]) + np.float32(scale["min"])
            arrays[entry["name"]] = values.astype(np.float32).reshape(entry["shape"])
        assert at == len(data), f"{group['paths']}: {len(data)} bytes, of which {at} are weights"
    return arrays


def main(folder, tflite):
    folder = Path(folder)
    description = json.loads((folder / "model.json").read_text())
    arrays = weights(folder, description["weightsManifest"])
    model = tf_keras.models.model_from_json(
        json.dumps(description["modelTopology"]["model_config"])
    )
    for variable in model.weights:
        variable.assign(arrays.pop(variable.name.removesuffix(":0")))
    assert not arrays, f"weights that no layer has: {list(arrays)}"
    Path(tflite).write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


main(*sys.argv[1:])
