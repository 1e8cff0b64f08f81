# maixpy: --flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel --flash 0x400000=PROJECT/examples/mnist/mnist_float.kmodel
"""Models come and go: nothing is lost, however a task ends."""

import KPU as kpu
import gc


task = kpu.load(0x300000)
kpu.forward(task, bytes(784))
kpu.deinit(task)
del task


def measure(name, work):
    before = kpu.memtest()[1]
    work()
    gc.collect()
    print(name, "loses", before - kpu.memtest()[1])


def deinit_each():
    for i in range(100):
        task = kpu.load(0x300000 if i % 2 else 0x400000)
        kpu.forward(task, bytes(784))
        kpu.deinit(task)
        kpu.deinit(task)


def with_each():
    for i in range(10):
        with kpu.load(0x300000) as task:
            kpu.forward(task, bytes(784))


def failing():
    for i in range(100):
        try:
            kpu.load(0x600000)
        except ValueError:
            pass


def many():
    tasks = [kpu.load(0x300000) for i in range(20)]
    answers = {kpu.forward(task, bytes(784)).argmax() for task in tasks}
    print(len(answers))
    for task in tasks:
        kpu.deinit(task)


measure("deinit", deinit_each)
measure("with", with_each)
measure("failing", failing)
measure("many", many)

a, b = kpu.load(0x300000), kpu.load(0x400000)
for i in range(3):
    x = kpu.forward(a, [i * 80] * 784)
    y = kpu.forward(b, [i * 80 / 255] * 784)
    print(x.argmax() == kpu.forward(a, [i * 80] * 784).argmax(), y[:] == kpu.forward(b, [i * 80 / 255] * 784)[:])

a.__del__()
try:
    kpu.forward(a, bytes(784))
except OSError as error:
    print(error)
print(kpu.forward(b, bytes(784)).ch())
