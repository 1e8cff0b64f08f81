"""Pins and helpers of the chip, as far as a PC has them."""

import gc
import _board


class GPIO:
    """A pin. Pins of a PC read what was written to them; the BOOT key's pin reads the key."""

    IN, PULL_NONE, PULL_UP, PULL_DOWN, OUT = 0, 0, 2, 1, 3
    IRQ_RISING, IRQ_FALLING, IRQ_BOTH = 1, 2, 3
    WAKEUP_NOT_SUPPORT = 0

    _watched = []

    def __init__(self, number, mode, pull=PULL_NONE, value=-1):
        self._number = number
        self._value = 1 if value < 0 else value
        self._key = _owner(number)

    def value(self, level=None):
        if level is None:
            return self._level()
        self._value = 1 if level else 0

    def irq(self, handler, trigger=IRQ_BOTH, wakeup=WAKEUP_NOT_SUPPORT, priority=7):
        self._handler, self._trigger, self._last = handler, trigger, self._level()
        GPIO._watched.append(self)

    def disirq(self):
        if self in GPIO._watched:
            GPIO._watched.remove(self)

    def mode(self, mode):
        return None

    def _level(self):
        return 0 if self._key() and _board.key() else self._value

    @classmethod
    def _poll(cls):
        """Calls the handlers of pins whose level has changed since the last frame."""
        for pin in list(cls._watched):
            level = pin._level()
            edge = cls.IRQ_RISING if level > pin._last else cls.IRQ_FALLING
            if level != pin._last and pin._trigger & edge:
                pin._handler(pin)
            pin._last = level


for _number in range(32):
    setattr(GPIO, "GPIOHS%d" % _number, _number + 16)
for _number in range(8):
    setattr(GPIO, "GPIO%d" % _number, _number)


def _owner(number):
    """A function that says whether a pin is the BOOT key's."""
    from fpioa_manager import fm

    return lambda: fm.pin_of(number) == BOOT_KEY


BOOT_KEY = 16


class FPIOA:
    """Which function a pin has."""

    def __init__(self):
        self._functions = {}

    def set_function(self, pin, function, *settings):
        self._functions[pin] = function

    def get_Pin_num(self, function):
        for pin, owner in self._functions.items():
            if owner == function:
                return pin


for _number in range(32):
    setattr(FPIOA, "GPIOHS%d" % _number, _number + 16)
for _number in range(8):
    setattr(FPIOA, "GPIO%d" % _number, _number)


class utils:
    """Memory of the firmware; on a PC there is always enough."""

    @staticmethod
    def gc_heap_size(size=None):
        return gc.mem_free() + gc.mem_alloc()

    @staticmethod
    def heap_free():
        return 4 << 20

    @staticmethod
    def flash_read(address, length):
        bytes_ = bytearray(length)
        _board.read_flash(address, bytes_)
        return bytes_


class freq:
    """Clocks; setting them changes nothing here."""

    @staticmethod
    def set(cpu=400, kpu=400, **others):
        return None

    @staticmethod
    def get():
        return (400, 400)
