"""How far a network looks, measured on the trained network rather than counted from its layers."""

from __future__ import annotations

import numpy as np

from rawkd.inference.selftest import ANCHOR, Run, golden_input
from rawkd.photo import FloatArray
from rawkd.sensor.ksigma import Anchor

THRESHOLD = 1e-2
"""Change of the output that counts, in standard deviations of the input's noise: 40 dB below it at the pixel
that changes most, about 60 dB in the root mean square of that distance (our choice)."""


def measure_halo(run: Run, stride: int, tile: int, anchor: Anchor = ANCHOR, channels: int = 4) -> int:
    """Packed pixels from a tile's edge at which the output no longer depends on what lies beyond the edge.

    A noisy picture is computed once as it is and four times with all pixels of one half replaced by others (the edge
    of the half at a multiple of the stride, where tiles have theirs); the halo is the farthest pixel in the kept half
    whose output moves by more than 1/100 of the noise's deviation. One changed pixel alone would understate it: a
    tile's edge changes them all, and global pooling shows only then.

    Parameters
    ----------
    run : (1, channels, h, w) -> the same shape, float32, on multiples of `stride`.
    tile : edge of the input, packed pixels. anchor : the noise that the network sees.

    Returns
    -------
    0 .. tile // 2; half a tile says that the network looks farther than the tile can show.
    """
    planes, deviation = golden_input(1, tile, anchor, channels)
    other = golden_input(2, tile, anchor, channels)[0][:, :, ::-1, ::-1]
    cut = tile // 2 // stride * stride
    before = run(planes)
    halo = 0
    for axis in (2, 3):
        for changed, kept in ((slice(cut, None), slice(None, cut)), (slice(None, cut), slice(cut, None))):
            half = (slice(None),) * axis + (changed,)
            replaced = planes.copy()
            replaced[half] = other[half]
            profile = _largest(np.abs(run(replaced) - before) / deviation, axis)[kept]
            distances = np.flatnonzero(profile > THRESHOLD)
            if distances.size:
                nearest_first = cut - distances if changed.start else distances + 1
                halo = max(halo, int(nearest_first.max()))
    return min(halo, tile // 2)


def _largest(planes: FloatArray, axis: int) -> FloatArray:
    """The largest value of every row (axis 2) or column (axis 3) of (1, c, h, w)."""
    return planes.max(axis=tuple(other for other in range(4) if other != axis))  # type: ignore[no-any-return]
