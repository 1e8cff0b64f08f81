"""CanMV's names for the chip's modules."""

from Maix import freq, utils
from _maix import KPU
