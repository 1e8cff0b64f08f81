"""Runs in __main__ before boot.py: makes /flash, and leaves the names that a board's boot leaves."""

import gc
import machine
import os
import sys
import time
from _board import RamDisk

_disk = RamDisk()
try:
    _flash = os.VfsLfs2(_disk)
except OSError:
    os.VfsLfs2.mkfs(_disk)
    _flash = os.VfsLfs2(_disk)
os.mount(_flash, "/flash")
os.chdir("/flash")
sys.path.append("/flash")
