"""What a board does before it runs main.py."""

import _board
import sys
import time


class Clock:
    """Frames per second, as time.clock() of the boards counts them."""

    def __init__(self):
        self.reset()

    def reset(self):
        self._start = time.ticks_ms()
        self._begun = self._start
        self._elapsed = 0
        self._frames = 0

    def tick(self):
        self._start = time.ticks_ms()

    def reset_tick(self):
        self.tick()

    def fps(self):
        self._count()
        return 1000 * self._frames / max(self._elapsed, 1)

    def avg(self):
        self._count()
        return self._elapsed / self._frames

    def _count(self):
        self._frames += 1
        self._elapsed += time.ticks_diff(time.ticks_ms(), self._start)

    def __repr__(self):
        return "<Clock frames:%d elapsed:%d ms>" % (self._frames, self._elapsed)


def extend_time():
    """Puts the board's clock into the time module, which import finds as utime too."""
    module = _board.new_module("time")
    for name in dir(time):
        if name not in ("__class__", "__name__", "clock"):
            setattr(module, name, getattr(time, name))
    module.clock = Clock
    sys.modules["utime"] = module
    return module


def seed(names, canmv):
    """Puts into `names` what the firmware's own boot script leaves there."""
    import gc
    import machine
    import os

    names.update({"os": os, "sys": sys, "time": extend_time(), "gc": gc, "machine": machine})
    if not canmv:
        from board import board_info
        from fpioa_manager import fm

        names.update({"board_info": board_info, "fm": fm})
