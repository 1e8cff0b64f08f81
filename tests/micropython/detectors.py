# maixpy: --flash 0x300000=SAMPLES/v4_grids.kmodel --flash 0x400000=PROJECT/examples/mnist/mnist_uint8.kmodel
"""YOLOv3 of two outputs, and what the detectors say of arguments that do not fit."""

import KPU as kpu
import image


def show(name, call):
    try:
        print(name, "->", call())
    except (ValueError, TypeError, OSError) as error:
        print(name, "!!", type(error).__name__, error)


task = kpu.load(0x300000)
print(task.outputs())
print(kpu.set_outputs(task, 0, 2, 2, 18), kpu.set_outputs(task, 1, 1, 1, 18))
ANCHORS = (2, 2, 4, 4, 6, 6, 3, 3, 5, 5, 8, 8)

# Channel c of the cell (x, y) is pixel c * 4 + y * 2 + x; 255 is a certain yes, 0 a certain no.
gray = image.Image(size=(8, 9)).to_grayscale(1)
for pixel in range(72):
    gray[pixel] = 0


def mark(anchor, x, y):
    cell = y * 2 + x
    for channel in (4, 5):  # object, class 0
        gray[(anchor * 6 + channel) * 4 + cell] = 255
    for channel in (0, 1, 2, 3):  # in the middle of the cell, as large as the anchor
        gray[(anchor * 6 + channel) * 4 + cell] = 128
    gray.pix_to_ai()


show("run before init", lambda: kpu.run_yolo3(task, gray))
print(kpu.init_yolo3(task, 0.5, 0.3, 6, ANCHORS))
print(kpu.run_yolo3(task, gray))
mark(0, 0, 0)
mark(1, 1, 1)
for found in kpu.run_yolo3(task, gray):
    print(found)
print(len(kpu.run_yolo3(task, gray)))
show("no image", lambda: kpu.run_yolo3(task, bytes(72)))
show("5 anchors", lambda: kpu.init_yolo3(task, 0.5, 0.3, 5, ANCHORS[:10]))
show("8 anchors", lambda: kpu.init_yolo3(task, 0.5, 0.3, 8, ANCHORS + (1, 1, 2, 2)))
show("fewer numbers", lambda: kpu.init_yolo3(task, 0.5, 0.3, 6, ANCHORS[:10]))
show("threshold", lambda: kpu.init_yolo2(task, 1.5, 0.3, 3, ANCHORS[:6]))
show("nms", lambda: kpu.init_yolo2(task, 0.5, -0.3, 3, ANCHORS[:6]))
show("no anchors", lambda: kpu.init_yolo2(task, 0.5, 0.3, 0, ()))
show("yolo2, 5 anchors for 18 channels", lambda: kpu.init_yolo2(task, 0.5, 0.3, 5, ANCHORS[:10]))
show("yolo2, 3 anchors", lambda: kpu.init_yolo2(task, 0.5, 0.3, 3, ANCHORS[:6]))
for i in range(3):
    print(len(kpu.run_yolo2(task, gray)))
print(kpu.set_outputs(task, 0, 1, 1, 72), kpu.init_yolo2(task, 0.5, 1, 12, ANCHORS * 2))
print([kpu.run_yolo2(task, gray) for i in range(2)])
digits = kpu.load(0x400000)
show("of no yolo model", lambda: kpu.init_yolo2(digits, 0.5, 0.3, 5, ANCHORS[:10]))
