"""Pins of the board."""

from Maix import BOOT_KEY


class board_info:
    BOOT_KEY = BOOT_KEY
    LED_R, LED_G, LED_B = 13, 12, 14
