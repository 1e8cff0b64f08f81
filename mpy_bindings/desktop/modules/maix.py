"""CanMV's names for the chip's modules."""

from Maix import FPIOA, GPIO, freq, utils
from _maix import KPU
