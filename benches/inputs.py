"""How long an input takes to reach a model: `maixpy --flash 0x300000=MODEL benches/inputs.py`.

The model takes 784 bytes or floats (examples/mnist) or a 224x224 RGB picture; only its first layer
runs. Prints microseconds for each kind of input, the least of ten rounds.
"""

import KPU as kpu, array, image, time


def measure(task, name, value):
    best = 1 << 30
    for _ in range(10):
        begin = time.ticks_us()
        for _ in range(20):
            kpu.forward(task, value)
        best = min(best, time.ticks_diff(time.ticks_us(), begin))
    print("%-10s %7.1f" % (name, best / 20))


task = kpu.load(0x300000)
dtype, (_, channels, height, width) = task.inputs()[0]
kpu.set_layers(task, 1)
count = channels * height * width
picture = image.Image(size=(width, height))
if channels == 1:
    picture = picture.to_grayscale()
print("%d values, type %s" % (count, dtype))
values = [(i % 256) / 255 if dtype == "f" else i % 256 for i in range(count)]
measure(task, "list", [float(value) for value in values])
measure(task, "list of int", [int(value) for value in values])
measure(task, "tuple", tuple(float(value) for value in values))
measure(task, "array f", array.array("f", values))
measure(task, "bytes", bytes(count))
measure(task, "bytearray", bytearray(count))
measure(task, "image", picture)
picture.pix_to_ai()
measure(task, "pix_ai", picture)
