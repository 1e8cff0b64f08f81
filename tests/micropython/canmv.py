# maixpy: --firmware canmv --flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel --sd PROJECT/examples/mnist/pictures
# maixpy: --flash 0x400000=SAMPLES/v3_image.kmodel
"""CanMV's class: both forms, helpers, and use in the wrong order."""

from maix import KPU
import image


def show(name, call):
    try:
        print(name, "->", call())
    except (ValueError, TypeError, OSError) as error:
        print(name, "!!", type(error).__name__, error)


kpu = KPU()
print(kpu)
show("run before load", lambda: kpu.run_with_output(image.Image()))
show("outputs before load", lambda: kpu.get_outputs())
show("load of nothing", lambda: kpu.load_kmodel(0x600000))
kpu.load_kmodel(0x300000)
show("outputs before run", lambda: kpu.get_outputs())
right = 0
for digit in range(10):
    gray = image.Image("/sd/%d_0.png" % digit).to_grayscale()
    gray.pix_to_ai()
    scores = kpu.run_with_output(gray, getlist=True)
    kpu.run(gray)
    right += scores.index(max(scores)) == digit and kpu.get_outputs() == [scores]
print(right)
show("wrong size", lambda: kpu.run_with_output(image.Image()))
show("regionlayer before init", lambda: kpu.regionlayer_yolo2())
feature = kpu.run_with_output(gray, get_feature=True)
print(round(sum(x * x for x in feature), 4), round(kpu.feature_compare(feature, feature), 3))
print([round(x, 4) for x in KPU.softmax([1, 2, 3])], KPU.sigmoid(0))
print(kpu.deinit(), kpu.deinit())

several = KPU()
several.load(0x400000)
show("color picture of two channels", lambda: several.run(image.Image(size=(8, 8))))
