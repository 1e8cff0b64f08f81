"""Writes the graphs of known networks, with random weights, as tf.keras and its exporter make them.

    keras_graphs.py FOLDER

FOLDER gets one .tflite file a network.
"""

import sys
from pathlib import Path

import tensorflow as tf
from tensorflow.keras import Input, Model, layers, utils
from tensorflow.keras.applications import MobileNet, MobileNetV2


def convolution(x, filters, kernel=3, strides=1, activation=layers.ReLU):
    x = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return activation()(x)


def yolo2_tiny(size):
    """Boxes of 5 anchors and 20 classes."""
    picture = x = Input((size, size, 3))
    for filters in [16, 32, 64, 128, 256]:
        x = convolution(x, filters, activation=layers.LeakyReLU)
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = convolution(x, 512, activation=layers.LeakyReLU)
    x = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    x = convolution(x, 512, activation=layers.LeakyReLU)
    x = layers.Conv2D(5 * 25, 1)(x)
    return Model(picture, layers.Reshape((size // 32, size // 32, 5, 25))(x))


def lffd(size):
    """Faces of three sizes: whether there is one, and its box."""
    picture = Input((size, size, 3))
    x = layers.Conv2D(32, 3, 2, padding="valid", activation="relu")(picture)
    results = []
    for filters, blocks in [(32, 3), (32, 2), (64, 1)]:
        x = layers.Conv2D(filters, 3, 2, padding="valid", activation="relu")(x)
        for _ in range(blocks):
            inner = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
            inner = layers.Conv2D(filters, 3, padding="same")(inner)
            x = layers.ReLU()(layers.Add()([x, inner]))
        branch = layers.Conv2D(filters, 1, activation="relu")(x)
        results.append(layers.Softmax()(layers.Conv2D(2, 1)(branch)))
        results.append(layers.Conv2D(4, 1)(branch))
    return Model(picture, results)


def unet(size):
    """A mask, with transposed convolutions of 2x2 and 3x3."""
    picture = x = Input((size, size, 3))
    skipped = []
    for filters in [8, 16]:
        x = convolution(convolution(x, filters), filters)
        skipped.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.2)(convolution(x, 32))
    for filters, kernel in [(16, 2), (8, 3)]:
        x = layers.Conv2DTranspose(filters, kernel, strides=2, padding="same")(x)
        x = layers.Concatenate()([x, skipped.pop()])
        x = convolution(x, filters)
    return Model(picture, layers.Conv2D(1, 1, activation="sigmoid")(x))


NETWORKS = {
    "keras_mobilenet_v1_0.25_128": lambda: MobileNet((128, 128, 3), 0.25, weights=None, classes=10),
    "keras_mobilenet_v1_1.0_224": lambda: MobileNet((224, 224, 3), 1.0, weights=None),
    "keras_mobilenet_v2_0.5_224": lambda: MobileNetV2((224, 224, 3), 0.5, weights=None),
    "keras_mobilenet_v2_1.0_224": lambda: MobileNetV2((224, 224, 3), 1.0, weights=None),
    "keras_yolo2_tiny_224": lambda: yolo2_tiny(224),
    "keras_lffd_160": lambda: lffd(160),
    "keras_unet_64": lambda: unet(64),
}


def settle(model):
    """Sets what batch normalization knows from a batch, so that values keep their size along the network."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    model(tf.random.uniform((4, *model.input_shape[1:])), training=True)


def main(folder):
    for name, network in NETWORKS.items():
        utils.set_random_seed(1)
        model = network()
        settle(model)
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        (Path(folder) / f"{name}.tflite").write_bytes(converter.convert())


main(*sys.argv[1:])
