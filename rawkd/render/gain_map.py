"""Evaluate a photo's gain maps at the pixels to render.

Source: DNG specification 1.4, chapter 7, GainMap. Gains multiply the signal after black is subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, FloatArray, GainMap, RawPhoto


def gains_in(photo: RawPhoto, rows: slice, columns: slice, maps: Sequence[GainMap] | None = None) -> FloatArray | None:
    """Return the product of gain maps in a window of the active area, (h, w) float32; None without gain maps.

    Parameters
    ----------
    maps : gain maps to evaluate; None for all of the photo's.
    """
    maps = photo.gain_maps if maps is None else maps
    if not maps:
        return None
    gains = np.ones((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    for one in maps:
        _multiply(gains, one, photo.pattern, rows.start, columns.start)
    return gains


def _multiply(gains: FloatArray, one: GainMap, pattern: CFAPattern, top: int, left: int) -> None:
    """Multiply the gains of the window at `top`, `left` by one map, in place."""
    rows = _covered(top, gains.shape[0], one.top, one.bottom, one.row_pitch)
    columns = _covered(left, gains.shape[1], one.left, one.right, one.column_pitch)
    if not rows.size or not columns.size:
        return
    of_map = _bilinear(one, rows, columns)
    if one.colour is not None and pattern.kind != "mono":
        side = pattern.side
        colours = np.array(list(pattern.colours)).reshape(side, side)
        of_map = np.where(colours[np.ix_(rows % side, columns % side)] == one.colour, of_map, np.float32(1))
    gains[rows[0] - top :: one.row_pitch, columns[0] - left :: one.column_pitch][: rows.size, : columns.size] *= of_map


def _covered(start: int, length: int, first: int, stop: int, pitch: int) -> NDArray[np.int64]:
    """Return the rows (or columns) of a window, in the active area, that a map from `first` to `stop` affects."""
    begin = max(start, first)
    return np.arange(begin + (first - begin) % pitch, min(start + length, stop), pitch)


def _bilinear(one: GainMap, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> FloatArray:
    """Interpolate the map at these rows and columns, (len(rows), len(columns)) float32."""
    below, share = _between(one.point_rows, rows)
    strip = one.gains[below] * (1 - share)[:, None]
    strip += one.gains[np.minimum(below + 1, len(one.point_rows) - 1)] * share[:, None]
    before, share = _between(one.point_columns, columns)
    gains: FloatArray = strip[:, before] * (1 - share)
    gains += strip[:, np.minimum(before + 1, len(one.point_columns) - 1)] * share
    return gains


def _between(points: tuple[float, ...], places: NDArray[np.int64]) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the index of the point before each place and the weight of the next; ends are held constant."""
    position = np.interp(places, points, np.arange(len(points)))
    below = position.astype(np.int64)
    return below, (position - below).astype(np.float32)
