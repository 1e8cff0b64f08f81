"""Reads ten handwritten digits in the three ways that scripts do, with all it needs in the flash: for
boards without a card, and for the emulated one (`make emu-demo`).

0x300000  mnist_uint8.kmodel
0x400000  mnist_float.kmodel
0x500000  ten pictures as .bmp of 28 x 28 pixels, one every 0x1000 bytes
"""

import binascii
import image
import KPU as kpu
from Maix import utils

byte_model = kpu.load(0x300000)
float_model = kpu.load(0x400000)


def picture_of(digit):
    header = utils.flash_read(0x500000 + 0x1000 * digit, 6)
    size = int.from_bytes(header[2:], "little")
    file = utils.flash_read(0x500000 + 0x1000 * digit, size)
    picture = image.Image(file, from_bytes=True).to_grayscale(1)
    picture.pix_to_ai()
    return picture


print("digit  uint8  float image  float list  CRC-32 of the answers")
right = 0
for digit in range(10):
    picture = picture_of(digit)
    answers = []
    crc = 0
    for model, data in (
        (byte_model, picture),
        (float_model, picture),
        (float_model, [pixel / 255 for pixel in picture[:]]),
    ):
        scores = kpu.forward(model, data)
        crc = binascii.crc32(bytes(scores), crc)
        answers.append(scores.argmax())
    print("%5d  %5d  %11d  %10d  %08x" % (digit, answers[0], answers[1], answers[2], crc))
    right += answers == [digit] * 3

kpu.deinit(byte_model)
kpu.deinit(float_model)
print("%d of 10 are right by all three ways" % right)
