"""Measure the halo of a trained network: how far from a tile's edge its output depends on what lies beyond the edge."""

from __future__ import annotations

import numpy as np

from rawkd.inference.selftest import ANCHOR, Run, golden_input
from rawkd.photo import FloatArray
from rawkd.sensor.ksigma import Anchor

THRESHOLD = 1e-2
"""Smallest change of the output that counts, in standard deviations of the input's noise. It is 40 dB below the noise
at the pixel that changes most, and about 60 dB in the root mean square at that distance (our choice)."""


def measure_halo(run: Run, stride: int, tile: int, anchor: Anchor = ANCHOR, channels: int = 4) -> int:
    """Return the halo in packed pixels: beyond it, the output does not depend on what lies outside the tile.

    We run a noisy input once as it is and four times with all pixels of one half replaced (the cut lies at a multiple
    of the stride, like the edges of tiles). The halo is the distance to the farthest pixel in the kept half whose
    output changes by more than 1/100 of the noise standard deviation. Changing a single pixel would give too small a
    halo: at a tile's edge all pixels change, and only that reveals global pooling.

    Parameters
    ----------
    run : the network, (1, channels, h, w) float32 -> the same shape; h and w are multiples of `stride`.
    tile : side of the input, packed pixels. anchor : noise of the network's input.

    Returns
    -------
    0 .. tile // 2; half a tile means that the network's receptive field is larger than the tile can show.
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
    """Return the largest value of every row (axis 2) or column (axis 3) of (1, c, h, w)."""
    return planes.max(axis=tuple(other for other in range(4) if other != axis))  # type: ignore[no-any-return]
