"""Runs a .tflite model in LiteRT, TensorFlow Lite's own interpreter.

    litert.py MODEL INPUTS OUTPUTS [plain]

INPUTS holds 32-bit floats: the model's inputs, sample after sample; images lie plane by plane. OUTPUTS
gets the answers in the same way, sample after sample. A quantized model gets and gives real numbers, too.
With `plain`, LiteRT's plain kernels compute instead of its fast ones.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def scaled(detail):
    """Scale and zero point of a quantized input or output, else None."""
    scale, zero = detail["quantization"]
    return (scale, zero) if scale else None


def fed(values, detail):
    """Floats in planes as the interpreter takes them."""
    shape = detail["shape"]
    if len(shape) == 4:
        n, h, w, c = shape
        values = values.reshape(n, c, h, w).transpose(0, 2, 3, 1)
    values = values.reshape(shape)
    if quantization := scaled(detail):
        limits = np.iinfo(detail["dtype"])
        scale, zero = quantization
        values = np.clip(np.round(values / scale + zero), limits.min, limits.max)
    return np.ascontiguousarray(values, detail["dtype"])


def read(values, detail):
    """The interpreter's answer as floats in planes."""
    values = values.astype(np.float32)
    if quantization := scaled(detail):
        scale, zero = quantization
        values = (values - zero) * np.float32(scale)
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def main(model, inputs, outputs, kernels="fast"):
    resolver = OpResolverType.BUILTIN_REF if kernels == "plain" else OpResolverType.AUTO
    interpreter = Interpreter(model, experimental_op_resolver_type=resolver)
    details = interpreter.get_input_details()
    sizes = [int(np.prod(d["shape"])) for d in details]
    samples = np.fromfile(inputs, np.float32).reshape(-1, sum(sizes))
    for detail in details:
        interpreter.resize_tensor_input(detail["index"], detail["shape"])
    interpreter.allocate_tensors()
    with open(outputs, "wb") as file:
        for sample in samples:
            for values, detail in zip(np.split(sample, np.cumsum(sizes)[:-1]), details):
                interpreter.set_tensor(detail["index"], fed(values, detail))
            interpreter.invoke()
            for detail in interpreter.get_output_details():
                values = interpreter.get_tensor(detail["index"])
                file.write(np.ascontiguousarray(read(values, detail)).tobytes())


main(*sys.argv[1:])
