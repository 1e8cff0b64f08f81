# maixpy: --flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel --spiffs NEW/
"""What load says of things that are no model: the same from flash, a file and memory."""

import KPU as kpu
import struct

with open("/flash/digits.bin", "wb") as f:
    pass


def words(*numbers):
    return struct.pack("<%dI" % len(numbers), *numbers)


v3_header = words(3, 0, 0, 1, 0, 16, 1)
samples = (
    ("erased flash", b"\xff" * 64),
    ("zeros", bytes(64)),
    ("kfpkg", b"PK\x03\x04" + bytes(60)),
    ("tflite", bytes(4) + b"TFL3" + bytes(56)),
    ("kmodel v1", words(0x12345678) + bytes(60)),
    ("kmodel v5", b"LDMK" + words(5) + bytes(56)),
    ("kmodel v9", b"LDMK" + words(9) + bytes(56)),
    ("smodel", words(0x2713) + b"\x5a" * 60),
    ("text", b"this is a text, and not a model of any kind at all, honestly"),
    ("cut header", v3_header[:12]),
    ("cut body", v3_header + words(0, 4) + words(10240, 100)),
    ("unknown layer", v3_header + words(0, 4) + words(999, 8) + bytes(8)),
)

for name, data in samples:
    texts = []
    path = "/flash/%s.kmodel" % name.replace(" ", "_")
    with open(path, "wb") as f:
        f.write(data)
    for source in (data, path):
        try:
            kpu.load(source)
            texts.append("loads")
        except ValueError as error:
            texts.append(str(error))
    print("%s: %s" % (name, texts[0]))
    if texts[1] != texts[0]:
        print("  from a file:", texts[1])

for name, source in (
    ("nothing there", 0x700000),
    ("behind the flash", 0x1000000),
    ("0", 0),
    ("missing file", "/flash/none.kmodel"),
    ("empty file", "/flash/digits.bin"),
    ("None", None),
):
    try:
        kpu.load(source)
    except (ValueError, TypeError) as error:
        print("%s: %s" % (name, error))
