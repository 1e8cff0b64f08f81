# maixpy: --flash 0x300000=PROJECT/examples/mnist/mnist_uint8.kmodel --flash 0x400000=SAMPLES/v3_image.kmodel
"""Feature maps own their values; every output can be had; layers can be cut."""

import KPU as kpu

task = kpu.load(0x300000)
first = kpu.forward(task, bytes(784))
kept = first[:]
second = kpu.forward(task, b"\xff" * 784)
print(first[:] == kept, second[:] == kept)
kpu.deinit(task)
print(first[:] == kept, len(first), first.typecode(), first.w(), first.h(), first.ch(), first.size())
first[0] = 2
print(first.argmax(), first.topk(1), round(sum(first.softmax()), 4))
try:
    first[10]
except IndexError as error:
    print(error)

task = kpu.load(0x400000)
data = bytes(i * 37 & 255 for i in range(128))
kpu.forward(task, data)
for index, (kind, shape) in enumerate(task.outputs()):
    f = kpu.get_output(task, index)
    print(index, kind, shape, f.typecode(), f.w(), f.h(), f.ch(), len(f))
print(kpu.forward(task, data, out_index=2)[:] == kpu.get_output(task, 2)[:])
for layers in (1, 2, 5, 0):
    print(layers, kpu.set_layers(task, layers), len(kpu.forward(task, data)), len(task.profile(data)))
print(kpu.set_layers(task, 100))
print(len(kpu.netinfo(task)))
