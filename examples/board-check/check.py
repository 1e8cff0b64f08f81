"""Prints a CRC-32 of what every layer of two small models computes, for comparing a board with a PC.

On a board: flash mnist_uint8.kmodel of examples/mnist to 0x300000 and mnist_float.kmodel to 0x400000,
run this script and compare what it prints with what the same script prints on a PC:

    maixpy --flash 0x300000=examples/mnist/mnist_uint8.kmodel \
        --flash 0x400000=examples/mnist/mnist_float.kmodel examples/board-check/check.py

The first line that differs names the layer.
"""

import binascii
import KPU as kpu

pixels = bytes([(7 * i + i // 28) & 255 for i in range(28 * 28)])

for name, address in (("uint8", 0x300000), ("float", 0x400000)):
    task = kpu.load(address)
    layers = 0
    while kpu.set_layers(task, layers + 1):
        layers += 1
        fmap = kpu.forward(task, pixels)
        print("%s layer %2d: %6d values, CRC %08x" % (name, layers, len(fmap), binascii.crc32(fmap)))
    kpu.deinit(task)
