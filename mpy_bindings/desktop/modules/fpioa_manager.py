"""Which pin has which function."""

from Maix import FPIOA


class Manager:
    def __init__(self):
        self.fpioa = FPIOA()
        self._pins = {}

    def register(self, pin, function, force=True):
        if not force and pin in self._pins:
            return 0
        self._pins[pin] = function
        self.fpioa.set_function(pin, function)
        return 1

    def unregister(self, pin):
        self._pins.pop(pin, None)

    def pin_of(self, function):
        for pin, owner in self._pins.items():
            if owner == function:
                return pin


fm = Manager()
