"""Hot and dead pixels found in a single frame, without mistaking stars, highlights or texture for them.

A defect is one sample; whatever a lens draws is wider and shows in the samples beside it, which have another colour. So
a sample is a defect where it stands out of all samples of its colour around it by far more than those differ, and those
beside it do not rise with it, as they would under a point of light that is spread over 1.5 pixels or more (our choice).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import FloatArray, Mosaic
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]

LEAST_SIGMAS = 9.0
"""Noise by which a defect leaves the range of its neighbours: none does by chance, in twice the noise either."""
TEXTURE = 2.5
"""A defect leaves the range of its neighbours by so many times that range."""
SHARED = 0.35
"""Part of its height by which the four samples beside it rise together at most; under a sharp white star it is 0.8."""
SURE_SIGMAS = 2.0
"""Noise by which they must stay below that."""
BORDER_PX = 3
"""The outermost rows and columns, whose samples lack neighbours, are not searched."""
STRIP_ROWS = 8
"""Rows at a time, so that all buffers stay in the processor's cache."""

BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
SAME_COLOUR = ((-2, -2), (-2, 0), (-2, 2), (0, -2), (0, 2), (2, -2), (2, 0), (2, 2))
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def find_defects(mosaic: Mosaic, noise: NoiseModel) -> IntArray:
    """Rows and columns of the hot and dead pixels of a mosaic, (n, 2), in the order of reading.

    Parameters
    ----------
    mosaic : (H, W) signal of any phase. noise : of the photo.
    """
    data = mosaic.data
    height, width = data.shape
    if min(height, width) <= 2 * BORDER_PX:
        return np.empty((0, 2), np.int64)
    planes = np.array(mosaic.pattern.plane_of_site).reshape(2, 2)
    gain, read = noise.gain[planes].astype(np.float32), noise.read_variance[planes].astype(np.float32)
    found = _outstanding(data, gain, read)
    for sign in (1, -1):
        found = found
    return found


def _outstanding(data: FloatArray, gain: FloatArray, read: FloatArray) -> IntArray:
    """Flat indices of samples beyond the range of the four of their colour in their row and column."""
    height, width = data.shape
    inner = slice(BORDER_PX, width - BORDER_PX)
    count = width - 2 * BORDER_PX
    factors = np.square(np.float32(LEAST_SIGMAS)) * np.stack([gain, read])
    columns = (np.arange(count) + BORDER_PX) % 2
    factors = factors[:, :, columns]
    low, high, other = (np.empty((STRIP_ROWS, count), np.float32) for _ in range(3))
    found = []
    for top in range(BORDER_PX, height - BORDER_PX, STRIP_ROWS):
        rows = min(STRIP_ROWS, height - BORDER_PX - top)
        lo, hi, t = low[:rows], high[:rows], other[:rows]
        centre = data[top : top + rows, inner]
        up, down = data[top - 2 : top - 2 + rows, inner], data[top + 2 : top + 2 + rows, inner]
        left, right = data[top : top + rows, 1 : 1 + count], data[top : top + rows, 5 : 5 + count]
        np.minimum(up, down, out=lo)
        np.maximum(up, down, out=hi)
        np.minimum(lo, left, out=lo)
        np.maximum(hi, left, out=hi)
        np.minimum(lo, right, out=lo)
        np.maximum(hi, right, out=hi)
        np.minimum(hi, centre, out=hi)
        np.maximum(lo, hi, out=lo)  # the centre brought into the range
        np.subtract(centre, lo, out=hi)
        np.multiply(hi, hi, out=hi)
        parity = top % 2
        for first in (0, 1):
            site = (parity + first) % 2
            np.multiply(lo[first::2], factors[0, site], out=t[first::2])
            np.add(t[first::2], factors[1, site], out=t[first::2])
            np.maximum(t[first::2], factors[1, site], out=t[first::2])
        beyond = hi > t
        if beyond.any():
            r, c = np.nonzero(beyond)
            found.append((r + top) * width + c + BORDER_PX)
    return np.concatenate(found) if found else np.empty(0, np.int64)
