"""Data types of a raw photo and its parts.

Pixels are *signal* = (DN - black) / (white - black), float32 and unclipped: shadows can be negative. ``H, W`` count
mosaic pixels and ``h, w`` packed pixels; planes are always ordered R, Gr, Gb, B. Names that end in ``_dn`` are in raw
units of the file (DN).
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
