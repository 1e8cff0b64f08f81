# maixpy: --flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel --flash 0x400000=PROJECT/examples/mnist/mnist_float.kmodel
# maixpy: --sd PROJECT/examples/mnist/pictures
"""The same values in every form give the same answer; large ones make no Python objects."""

import KPU as kpu
import array
import gc
import image

gray = image.Image("/sd/4_0.png").to_grayscale()
pixels = bytes(gray.to_bytes())
forms = (
    ("image", gray),
    ("list", list(pixels)),
    ("tuple", tuple(pixels)),
    ("list of floats", [float(p) for p in pixels]),
    ("array of bytes", array.array("B", pixels)),
    ("array of shorts", array.array("h", list(pixels))),
    ("array of floats", array.array("f", list(pixels))),
    ("bytes", pixels),
    ("bytearray", bytearray(pixels)),
    ("memoryview", memoryview(pixels)),
)

task = kpu.load(0x300000)
wanted = kpu.forward(task, gray)[:]
for name, form in forms:
    print("uint8 model,", name, kpu.forward(task, form)[:] == wanted)
print("rounded and clamped", kpu.forward(task, [p + 0.4 if p else -9.0 for p in pixels])[:] == wanted)



def alike(answer):
    return max(abs(a - b) for a, b in zip(answer[:], wanted)) < 1e-6


floats = kpu.load(0x400000)
wanted = kpu.forward(floats, gray)[:]
print(wanted.index(max(wanted)))
for name, form in forms[1:]:
    print("float model,", name, alike(kpu.forward(floats, form, scale=1 / 255)))
print("divided in Python", alike(kpu.forward(floats, [p / 255 for p in pixels])))
print("scale for an image", kpu.forward(floats, gray, scale=1)[:] == kpu.forward(floats, list(pixels))[:])
print("mean and std", kpu.forward(floats, pixels, mean=0, std=255)[:] == wanted)

for name in ("image", "bytearray", "array of floats"):
    form = dict(forms)[name]
    kpu.forward(task, form)
    gc.collect()
    before = gc.mem_alloc()
    kpu.forward(task, form)
    print(name, "takes less than 600 bytes of heap:", gc.mem_alloc() - before < 600)
