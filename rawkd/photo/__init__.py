"""Data types of a raw photo and its parts.

Pixels are *signal* = (DN - black) / (white - black), float32 and unclipped: shadows can be negative. ``H, W`` count
mosaic pixels and ``h, w`` packed pixels; planes are the sites of the canonical cell, row by row (R, Gr, Gb, B of
Bayer). Names that end in ``_dn`` are in raw units of the file (DN).
"""

from rawkd.photo.capture import Capture, Tag, camera_name
from rawkd.photo.cfa import BAYER_PHASES, NAMES_OF_KINDS, CFAPattern, Kind, SiteArray
from rawkd.photo.gain_map import GainMap
from rawkd.photo.levels import Levels
from rawkd.photo.linear import LinearPicture
from rawkd.photo.mosaic import DoubleArray, FloatArray, FrameArray, Mosaic, PixelArray, Rect
from rawkd.photo.raw_photo import ColorCalibration, RawPhoto

__all__ = [
    "BAYER_PHASES",
    "NAMES_OF_KINDS",
    "CFAPattern",
    "Capture",
    "ColorCalibration",
    "DoubleArray",
    "FloatArray",
    "FrameArray",
    "GainMap",
    "Kind",
    "Levels",
    "LinearPicture",
    "Mosaic",
    "PixelArray",
    "RawPhoto",
    "Rect",
    "SiteArray",
    "Tag",
    "camera_name",
]
