# maixpy: --flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel --flash 0x400000=PROJECT/examples/mnist/mnist_float.kmodel
"""Inputs of the wrong size, shape and kind are told with what the model wants."""

import KPU as kpu
import image


def show(name, call):
    try:
        print(name, "->", call())
    except (ValueError, TypeError, OSError) as error:
        print(name, "!!", type(error).__name__, error)


task = kpu.load(0x300000)
show("large color", lambda: kpu.forward(task, image.Image()))
show("small color", lambda: kpu.forward(task, image.Image(size=(28, 28))))
show("gray of other size", lambda: kpu.forward(task, image.Image(size=(32, 28)).to_grayscale(1)))
show("without pix_to_ai", lambda: kpu.forward(task, image.Image(size=(28, 28)).to_grayscale()).ch())
show("783 values", lambda: kpu.forward(task, [0] * 783))
show("785 bytes", lambda: kpu.forward(task, bytes(785)))
show("text", lambda: kpu.forward(task, "picture.jpg"))
show("text in a list", lambda: kpu.forward(task, ["a"] * 784))
show("None", lambda: kpu.forward(task, None))
show("no task", lambda: kpu.forward(3, bytes(784)))
show("output 1", lambda: kpu.forward(task, bytes(784), out_index=1))
show("values 0 to 1", lambda: kpu.forward(task, [0.5] * 784).argmax() >= 0)
show("again, without the hint", lambda: kpu.forward(task, [0.5] * 784).argmax() >= 0)

show("set_outputs", lambda: kpu.set_outputs(task, 0, 10, 1, 1))
show("set_outputs of another size", lambda: kpu.set_outputs(task, 0, 5, 1, 1))
show("set_outputs of another output", lambda: kpu.set_outputs(task, 1, 10, 1, 1))
print(kpu.set_layers(task, len(task.profile(bytes(784)))), kpu.set_layers(task, 0))
show("no such channel", lambda: kpu.fmap(kpu.forward(task, bytes(784)), 10))

kpu.deinit(task)
kpu.deinit(task)
show("freed: forward", lambda: kpu.forward(task, bytes(784)))
show("freed: get_output", lambda: kpu.get_output(task, 0))
show("freed: run_yolo2", lambda: kpu.run_yolo2(task, image.Image()))
show("freed: inputs", lambda: task.inputs())
