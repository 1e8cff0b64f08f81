# maixpy: --firmware canmv --heap 1 --memory 16 --spiffs PROJECT/examples/mnist
"""What CanMV's class loads does not lie on Python's heap, and is given back."""

from maix import KPU

kpu = KPU()
for i in range(3):
    kpu.load_kmodel("/flash/mnist_uint8.kmodel")
    kpu.lp_recog_load_weight_data(0x500000, 1498500)
    kpu.lp_recog_load_weight_data(0x500000, 1498500)
try:
    kpu.lp_recog_load_weight_data(0x500000, 4000000)
except MemoryError as error:
    print(error)
try:
    kpu.lp_recog_load_weight_data(0xFFFFF0, 100)
except ValueError as error:
    print(error)
try:
    kpu.lp_recog()
except OSError as error:
    print(error)
print(kpu.deinit())
