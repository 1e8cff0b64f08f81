"""Compares a board's KPU with the simulated one: how it rounds, and a CRC-32 of every layer of two models.

On a board: flash mnist_uint8.kmodel of examples/mnist to 0x300000, mnist_float.kmodel to 0x400000 and
halves.kmodel to 0x500000, run this script and compare what it prints with what the same script prints
on a PC (--half-up makes the simulated KPU round the other way):

    maixpy --flash 0x300000=examples/mnist/mnist_uint8.kmodel \
        --flash 0x400000=examples/mnist/mnist_float.kmodel \
        --flash 0x500000=examples/board-check/halves.kmodel examples/board-check/check.py

The first line that differs names the layer.
"""

import binascii
import KPU as kpu

# halves.kmodel halves bytes: half of 2n + 1 is n + 0.5.
task = kpu.load(0x500000)
halves = bytes(kpu.forward(task, bytes([2 * n + 1 for n in range(64)])))
kpu.deinit(task)
for rule, offset in (
    ("half up", lambda n: 1),
    ("half to even", lambda n: n % 2),
    ("truncation", lambda n: 0),
):
    if halves == bytes([n + offset(n) for n in range(64)]):
        print("activations are rounded by:", rule)
        break
else:
    print("activations are rounded by: none of the known rules; bytes", list(halves))

pixels = bytes([(7 * i + i // 28) & 255 for i in range(28 * 28)])

for name, address in (("uint8", 0x300000), ("float", 0x400000)):
    task = kpu.load(address)
    layers = 0
    while kpu.set_layers(task, layers + 1):
        layers += 1
        fmap = kpu.forward(task, pixels)
        print("%s layer %2d: %6d values, CRC %08x" % (name, layers, len(fmap), binascii.crc32(fmap)))
    kpu.deinit(task)
