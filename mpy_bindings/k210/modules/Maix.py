"""The part of MaixPy's module `Maix` that is about the chip's memory and clocks."""

import _board


class utils:
    """Memory of the firmware."""

    @staticmethod
    def gc_heap_size(*size):
        """Bytes of Python's heap. A new size counts from the next soft reset on."""
        return _board.gc_heap_size(*size)

    @staticmethod
    def heap_free():
        """Bytes that are free for models."""
        return _board.heap_free()

    @staticmethod
    def flash_read(address, length):
        """Bytes of the flash chip."""
        content = bytearray(length)
        _board.read_flash(address, content)
        return content


class freq:
    """Clocks, in MHz."""

    @staticmethod
    def get():
        return _board.frequencies()

    @staticmethod
    def get_cpu():
        return _board.frequencies()[0]

    @staticmethod
    def get_kpu():
        return _board.frequencies()[1]
