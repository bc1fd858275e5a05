"""Cut the mosaic of a photo into blocks of packed planes, so that rendering needs little memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rawkd.errors import InputError
from rawkd.photo import FloatArray, GainMap, Mosaic, RawPhoto, Rect
from rawkd.render.gain_map import gains_in
from rawkd.sensor.cfa import Unification, pack

BLOCK_PX = 128, 512


def blocks_of(rect: Rect) -> Iterator[Rect]:
    """Split the rectangle into blocks that fit into a core's cache."""
    for top in range(rect.top, rect.top + rect.height, BLOCK_PX[0]):
        for left in range(rect.left, rect.left + rect.width, BLOCK_PX[1]):
            height = min(BLOCK_PX[0], rect.top + rect.height - top)
            yield Rect(top, left, height, min(BLOCK_PX[1], rect.left + rect.width - left))


def planes_in(
    photo: RawPhoto, mosaic: Mosaic | None, rect: Rect, halo_cells: int, maps: Sequence[GainMap] | None = None
) -> tuple[FloatArray, FloatArray | None, Rect]:
    """Return RGGB planes that cover `rect` of the active area and a halo; borders are reflected.

    Parameters
    ----------
    maps : gain maps to evaluate; None for all of the photo's.

    Returns
    -------
    (4, h + 2*halo, w + 2*halo) signal; gain maps of the same shape, or None; the position of `rect` in the (2h, 2w)
    pixels of the inner cells.
    """
    shape = (photo.active_area.height, photo.active_area.width)
    if mosaic is not None and (mosaic.data.shape != shape or mosaic.pattern != photo.pattern):
        raise InputError(
            f"the mosaic {mosaic.data.shape} {mosaic.pattern} does not match the photo's {shape} {photo.pattern}"
        )
    shift = Unification.of(shape, photo.pattern)
    spans = [
        _span(rect.top, rect.height, shift.top, 2 * halo_cells, shape[0]),
        _span(rect.left, rect.width, shift.left, 2 * halo_cells, shape[1]),
    ]
    (rows, row_pad, top), (columns, column_pad, left) = spans
    if mosaic is None:
        signal = photo.levels.to_signal(photo.frame[photo.active_area.slices][rows, columns], rows.start, columns.start)
    else:
        signal = mosaic.data[rows, columns]
    if any(row_pad + column_pad):
        signal = np.pad(signal, (row_pad, column_pad), mode="reflect")
    gains = gains_in(photo, rows, columns, maps)
    if gains is not None:
        gains = pack(np.pad(gains, (row_pad, column_pad), mode="reflect"))
    return pack(signal), gains, Rect(top, left, rect.height, rect.width)


def _span(start: int, length: int, shift: int, halo: int, size: int) -> tuple[slice, tuple[int, int], int]:
    """Return, along one axis: the pixels to cut, how many to reflect on each side, and where `start` lies inside."""
    first = start - (start + shift) % 2
    last = start + length
    last += (last + shift) % 2
    low, high = max(first - halo, 0), min(last + halo, size)
    return slice(low, high), (low - (first - halo), last + halo - high), start - first
