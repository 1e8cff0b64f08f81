"""Reads ten handwritten digits in the three ways that scripts do, and saves what it saw.

On a board flash mnist_uint8.kmodel to 0x300000, mnist_float.kmodel to 0x400000, and copy the pictures
to the card. On a PC:

    maixpy --flash 0x300000=mnist_uint8.kmodel --flash 0x400000=mnist_float.kmodel --sd pictures \
        --spiffs FOLDER digits.py
"""

import KPU as kpu, image

byte_model = kpu.load(0x300000)
float_model = kpu.load(0x400000)

sheet = image.Image(size=(320, 150))
print("digit  uint8  float image  float list")
right = 0
for digit in range(10):
    picture = image.Image("/sd/%d_0.png" % digit).resize(28, 28)
    picture.to_grayscale()
    picture.pix_to_ai()
    answers = (
        kpu.forward(byte_model, picture).argmax(),
        kpu.forward(float_model, picture).argmax(),
        kpu.forward(float_model, [pixel / 255 for pixel in picture[:]]).argmax(),
    )
    print("%5d  %5d  %11d  %10d" % ((digit,) + answers))
    right += answers == (digit,) * 3

    x, y = 8 + digit % 5 * 62, 4 + digit // 5 * 74
    sheet.draw_image(picture.to_rgb565(1), x, y)
    sheet.draw_rectangle(x - 1, y - 1, 30, 30, color=(0, 128, 255))
    sheet.draw_string(x + 8, y + 32, str(answers[0]), color=(255, 255, 0), scale=2)

sheet.save("/flash/digits.bmp")
kpu.deinit(byte_model)
kpu.deinit(float_model)
print("%d of 10 are right by all three ways" % right)
