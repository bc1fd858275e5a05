"""Stretch a picture of pixels that are not square.

Our choice: linear interpolation of the encoded pixels, as LibRaw does it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import FloatArray
from rawkd.photo.region import Lines

ROWS_AT_A_TIME = 64
"""Bounds the memory."""


def stretched(picture: NDArray[Any], rows: Lines, columns: Lines) -> NDArray[Any]:
    """Return the given rows and columns of a picture, (n, m, ...), in its type; itself if these are its own.

    Parameters
    ----------
    picture : (stop - start of `rows`, stop - start of `columns`, ...), uint8, uint16 or float32.
    """
    size = rows.before.size, columns.before.size
    if picture.shape[:2] == size and not (rows.share.any() or columns.share.any()):
        return picture
    out = np.empty((*size, *picture.shape[2:]), picture.dtype)
    for top in range(0, size[0], ROWS_AT_A_TIME):
        part = slice(top, top + ROWS_AT_A_TIME)
        between = _between(picture, rows.before[part], rows.share[part], 0)
        between = _between(between, columns.before, columns.share, 1)
        out[part] = np.rint(between) if np.issubdtype(picture.dtype, np.integer) else between
    return out


def _between(picture: NDArray[Any], before: NDArray[np.int64], share: FloatArray, axis: int) -> FloatArray:
    """Interpolate along one axis."""
    after = np.minimum(before + 1, picture.shape[axis] - 1)
    low, high = (picture.take(index, axis).astype(np.float32) for index in (before, after))
    low += (high - low) * share.reshape((-1, *[1] * (picture.ndim - 1 - axis)))
    return low
