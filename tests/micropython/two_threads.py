# maixpy: --flash 0x300000=PROJECT/examples/mnist/mnist_float.kmodel
"""While one thread's model runs, another thread's gets an error that says so, and no wrong values."""

import KPU as kpu
import _thread
import time

tasks = [kpu.load(0x300000), kpu.load(0x300000)]
wanted = kpu.forward(tasks[0], bytes(784))[:]
busy, wrong, texts, ended = 0, 0, set(), 0
stop = False


def work(task):
    global busy, wrong, ended
    while not stop:
        try:
            wrong += kpu.forward(task, bytes(784))[:] != wanted
        except OSError as error:
            busy += 1
            texts.add(str(error))
    ended += 1


for task in tasks:
    _thread.start_new_thread(work, (task,))
begin = time.ticks_ms()
while not busy and time.ticks_diff(time.ticks_ms(), begin) < 20000:
    time.sleep_ms(1)
stop = True
while ended < 2:
    time.sleep_ms(1)
print(busy > 0, wrong, texts)
print(kpu.forward(tasks[0], bytes(784))[:] == wanted)
