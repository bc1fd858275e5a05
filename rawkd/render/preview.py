"""Bin the mosaic of a photo to a small picture, of any sensor; nothing is demosaiced."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import UsageError
from rawkd.photo import CFAPattern, FloatArray, Mosaic, RawPhoto, Rect
from rawkd.photo.orientation import orient
from rawkd.photo.region import Lines
from rawkd.render.blocks import planes_in
from rawkd.render.development import Development, groups_of
from rawkd.render.stretch import stretched

UNIT_PX = {"bayer": 2, "xtrans": 3, "mono": 2}
"""Side of the smallest square of pixels that holds all colours."""


def render_preview(photo: RawPhoto, max_px: int = 2048, *, mosaic: Mosaic | None = None) -> NDArray[np.uint8]:
    """Render a small upright picture of what is shown, binned instead of demosaiced, with square pixels.

    Returns
    -------
    (height, width, 3) uint8, the longer side at most `max_px` (>= 1); grey for a monochrome sensor. Each pixel is the
    mean of n x n squares of 2 pixels (X-Trans: 3), with the smallest n that fits. Those at the end that do not fill a
    pixel are left out; a picture with fewer than n rows or columns of squares fills one pixel with those it has.
    """
    if max_px < 1:
        raise UsageError(f"preview size {max_px}: give 1 pixel or more.")
    crop, cell = photo.shown, photo.pattern.canonical
    development = Development.of(photo, 0.0, np.dtype(np.uint8))
    unit = UNIT_PX[cell.kind]
    n = int(max(crop.height * photo.stretch[0], crop.width * photo.stretch[1])) // (unit * (max_px + 1)) + 1
    down, across = (min(n, max(1, length // unit)) for length in (crop.height, crop.width))
    height, width = max(1, crop.height // (unit * down)), max(1, crop.width // (unit * across))
    binned = np.empty((height, width, 3), np.uint8)
    step = max(1, 64 // n)
    for top in range(0, height, step):
        rows = min(step, height - top)
        size = min(unit * down * rows, crop.height), min(unit * across * width, crop.width)
        strip = Rect(crop.top + unit * down * top, crop.left, *size)
        planes, gains, inner = planes_in(photo, mosaic, strip, 0)
        units = _units(development.balance(planes, gains), cell)
        first_row, first_column = inner.top // unit, inner.left // unit
        units = units[:, first_row : first_row + down * rows, first_column : first_column + across * width]
        binned[top : top + rows] = _encoded(_binned(units, down, across), development, cell)
    sizes = (min(int(side * by), max_px) for side, by in zip((height, width), photo.stretch, strict=True))
    lines = (Lines.of(0, size, size, side) for size, side in zip(sizes, (height, width), strict=True))
    return np.ascontiguousarray(orient(stretched(binned, *lines), photo.orientation))


def _units(planes: FloatArray, cell: CFAPattern) -> FloatArray:
    """Return the values of each square of `UNIT_PX` pixels: the planes of Bayer and monochrome, R, G, B of X-Trans."""
    if cell.kind != "xtrans":
        return planes
    colours = cell.colour_of_class[cell.class_of_site].ravel()
    _, height, width = planes.shape
    units = np.empty((3, 2 * height, 2 * width), np.float32)
    for place, group in enumerate(groups_of(cell)):
        for colour in range(3):
            units[colour, place // 2 :: 2, place % 2 :: 2] = planes[group[colours[group] == colour]].mean(axis=0)
    return units


def _binned(units: FloatArray, down: int, across: int) -> FloatArray:
    """Return the mean of `down` x `across` squares, (planes, h, w); of single squares, these themselves."""
    if down == across == 1:
        return units
    bins = units[:, ::down, ::across].copy()
    for row, column in list(np.ndindex(down, across))[1:]:
        bins += units[:, row::down, column::across]
    bins *= np.float32(1 / (down * across))
    return bins


def _encoded(bins: FloatArray, development: Development, cell: CFAPattern) -> NDArray[np.uint8]:
    """Convert binned units to encoded pixels, (h, w, 3)."""
    if cell.kind == "mono":
        grey: NDArray[np.uint8] = development.encode_grey(bins.mean(axis=0))
        return np.repeat(grey[..., None], 3, axis=2)
    if cell.kind == "bayer":
        rgb = np.empty((3, *bins.shape[1:]), np.float32)
        rgb[0], rgb[2] = bins[0], bins[3]
        np.add(bins[1], bins[2], out=rgb[1])
        rgb[1] *= np.float32(0.5)
        bins = rgb
    return np.moveaxis(development.encode(bins), 0, -1)
