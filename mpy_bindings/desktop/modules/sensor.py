"""The camera. What it sees is the --camera option's picture or folder."""

import _board
import time as _time

BAYER, RGB565, YUV422, GRAYSCALE, JPEG = 1, 2, 3, 4, 5

_SIZES = {
    "QQCIF": (88, 72),
    "QCIF": (176, 144),
    "CIF": (352, 288),
    "QQSIF": (88, 60),
    "QSIF": (176, 120),
    "SIF": (352, 240),
    "QQQQVGA": (40, 30),
    "QQQVGA": (80, 60),
    "QQVGA": (160, 120),
    "QVGA": (320, 240),
    "VGA": (640, 480),
    "HQQQVGA": (80, 40),
    "HQQVGA": (160, 80),
    "HQVGA": (240, 160),
    "B64X32": (64, 32),
    "B64X64": (64, 64),
    "B128X64": (128, 64),
    "B128X128": (128, 128),
    "B240X240": (240, 240),
    "LCD": (128, 160),
    "QQVGA2": (128, 160),
    "WVGA": (720, 480),
    "WVGA2": (752, 480),
    "SVGA": (800, 600),
    "SXGA": (1280, 1024),
    "UXGA": (1600, 1200),
}
_NAMES = sorted(_SIZES)
for _number, _name in enumerate(_NAMES):
    globals()[_name] = _number + 1

_format = RGB565
_size = (320, 240)
_window = None
_mirror = False
_flip = False


def reset(freq=24000000, set_regs=True, dual_buff=False, choice=0):
    global _format, _size, _window, _mirror, _flip
    _format, _size, _window, _mirror, _flip = RGB565, (320, 240), None, False, False
    return True


def set_pixformat(format, set_regs=True):
    global _format
    if format not in (RGB565, GRAYSCALE):
        raise ValueError("sensor: only RGB565 and GRAYSCALE are possible here")
    _format = format
    return True


def set_framesize(framesize, set_regs=True):
    global _size, _window
    if not 1 <= framesize <= len(_NAMES):
        raise ValueError("sensor: framesize %r is not known" % (framesize,))
    _size = _SIZES[_NAMES[framesize - 1]]
    _window = None
    return True


def set_windowing(roi):
    """(w, h): the middle of the frame; (x, y, w, h): any part of it."""
    global _window
    if len(roi) == 2:
        w, h = roi
        x, y = (_size[0] - w) // 2, (_size[1] - h) // 2
    else:
        x, y, w, h = roi
    if x < 0 or y < 0 or w < 1 or h < 1 or x + w > _size[0] or y + h > _size[1]:
        raise ValueError("sensor: window %r is larger than the frame %r" % (roi, _size))
    _window = (x, y, w, h)
    return True


def set_hmirror(enable):
    global _mirror
    _mirror = bool(enable)
    return True


def set_vflip(enable):
    global _flip
    _flip = bool(enable)
    return True


def width():
    return _window[2] if _window else _size[0]


def height():
    return _window[3] if _window else _size[1]


def get_fb():
    return None


def get_id():
    return 0x2642


def run(enable=1):
    return True


def skip_frames(n=0, time=None):
    """The picture needs no time to settle here."""
    return None


def snapshot(update_jb=False):
    from Maix import GPIO

    img = _board.take(*_size)
    GPIO._poll()
    if _mirror or _flip:
        img.replace(hmirror=_mirror, vflip=_flip)
    if _window:
        img = img.cut(*_window)
    if _format == GRAYSCALE:
        img = img.to_grayscale(1)
    img.pix_to_ai()
    return img


def _accept(*arguments, **named):
    """Settings of the optics, which a picture file does not have."""
    return True


deinit = sleep = shutdown = flush = set_framerate = set_gainceiling = set_contrast = _accept
set_brightness = set_saturation = set_colorbar = set_auto_gain = set_auto_exposure = _accept
set_auto_whitebal = set_special_effect = set_lens_correction = set_jb_quality = _accept
