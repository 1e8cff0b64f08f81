"""The LCD: each frame shown goes where the --lcd option says."""

import _board
import image

_COLORS = {
    "BLACK": (0, 0, 0),
    "NAVY": (0, 0, 128),
    "DARKGREEN": (0, 128, 0),
    "DARKCYAN": (0, 128, 128),
    "MAROON": (128, 0, 0),
    "PURPLE": (128, 0, 128),
    "OLIVE": (128, 128, 0),
    "LIGHTGREY": (192, 192, 192),
    "DARKGREY": (128, 128, 128),
    "BLUE": (0, 0, 255),
    "GREEN": (0, 255, 0),
    "CYAN": (0, 255, 255),
    "RED": (255, 0, 0),
    "MAGENTA": (255, 0, 255),
    "YELLOW": (255, 255, 0),
    "WHITE": (255, 255, 255),
    "ORANGE": (255, 165, 0),
    "GREENYELLOW": (173, 255, 47),
    "PINK": (255, 192, 203),
}


def _rgb565(rgb):
    """The number that stands for a colour in MaixPy."""
    pixel = image.Image(size=(1, 1))
    pixel[0] = rgb
    high, low = pixel.to_bytes()
    return high << 8 | low


for _name, _rgb in _COLORS.items():
    globals()[_name] = _rgb565(_rgb)

XY_RLUD, YX_RLUD, XY_LRUD, YX_LRUD, XY_RLDU, YX_RLDU, XY_LRDU, YX_LRDU = range(8)

_width, _height = 320, 240
_rotation = 0
_mirrored = False
_frame = None


def init(type=1, freq=15000000, color=0, width=320, height=240, **pins):
    global _width, _height, _rotation, _mirrored
    _width, _height, _rotation, _mirrored = width, height, 0, False
    clear(color)


def deinit():
    global _frame
    _frame = None


def width():
    return _height if _rotation % 2 else _width


def height():
    return _width if _rotation % 2 else _height


def type():
    return 1


def freq(value=None):
    return 15000000


def set_backlight(state):
    return None


def get_backlight():
    return 100


def rotation(turns=None):
    global _rotation, _frame
    if turns is not None:
        if not 0 <= turns <= 3:
            raise ValueError("lcd: rotation is 0 to 3")
        _rotation, _frame = turns, None
    return _rotation


def mirror(invert=None):
    global _mirrored
    if invert is not None:
        _mirrored = bool(invert)
    return _mirrored


def direction(value=None):
    return XY_RLUD


def bgr_to_rgb(enable):
    return None


def register(number, values):
    return None


def clear(color=0):
    global _frame
    _frame = image.Image(size=(width(), height()))
    _frame.draw_rectangle(0, 0, width(), height(), color=color, fill=True)
    _show()


def display(img, oft=None, roi=None):
    """Shows an image in the middle, or with its corner at `oft`."""
    if roi:
        img = img.cut(*roi)
    if oft is None:
        oft = (width() - img.width()) // 2, (height() - img.height()) // 2
    _current().draw_image(img, oft[0], oft[1])
    _show()


def draw_string(x, y, text, color=0xFFFF, background=0):
    frame = _current()
    frame.draw_rectangle(x, y, 8 * len(text), 16, color=background, fill=True)
    frame.draw_string(x, y + 2, text, color=color)
    _show()


def fill_rectangle(x, y, w, h, color=0):
    _current().draw_rectangle(x, y, w, h, color=color, fill=True)
    _show()


def _current():
    global _frame
    if _frame is None:
        _frame = image.Image(size=(width(), height()))
    return _frame


def _show():
    shown = _frame
    if _mirrored:
        shown = shown.copy()
        shown.replace(hmirror=True)
    _board.show(shown)
