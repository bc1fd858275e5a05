"""The vocabulary of rawkd: a raw photo and its parts.

Pixels are *signal* = (DN - black) / (white - black), float32 and unclipped: shadows go below 0. ``H, W`` are mosaic
pixels, ``h, w`` packed ones; planes are always R, Gr, Gb, B. Names with ``_dn`` count raw units of the file.
"""

from rawkd.photo.gain_map import GainMap
from rawkd.photo.levels import Levels
from rawkd.photo.mosaic import CFAPattern, DoubleArray, FloatArray, FrameArray, Mosaic, PixelArray, Rect
from rawkd.photo.raw_photo import Capture, ColorCalibration, RawPhoto, Tag

__all__ = [
    "CFAPattern",
    "Capture",
    "ColorCalibration",
    "DoubleArray",
    "FloatArray",
    "FrameArray",
    "GainMap",
    "Levels",
    "Mosaic",
    "PixelArray",
    "RawPhoto",
    "Rect",
    "Tag",
]
