"""Measure whether the noise of the colours follows one line, and how far it lies off if not.

Sensors have one gain for all colours within a few per cent. Some files have not: the camera multiplied red and blue, or
a codec removed most of the noise of one colour. One line for all planes then fits the least noisy colour, and noise of
the others stays. So in blocks without texture we compare the noise of each colour with the line. Our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import CFAPattern, DoubleArray
from rawkd.sensor.blind.blocks import BlockStatistics
from rawkd.sensor.blind.clipping import unclipped
from rawkd.sensor.blind.correlation import FEWEST_BLOCKS, NOISE_LIKE
from rawkd.sensor.cfa import lattices_of

LINE_LIKE = 3.0
"""Largest ratio of the energy of a block without texture to that of the line."""
LEAST_SHARE = 0.1
"""Least share of blocks without texture, and at least `FEWEST_BLOCKS`. The standard error of a ratio is then 5 %."""
DIFFERENT = 2.0
"""Ratio between the noisiest and the least noisy colour from which they have lines of their own. White noise of one
line on 36 photos at four gains had at most 1.8."""


def noise_of_colours(
    blocks: BlockStatistics,
    pattern: CFAPattern,
    gain: float,
    read_variance: float,
    floor: float | None,
) -> DoubleArray:
    """Return the noise variance of every noise class over the common line, (classes,); ones unless colours differ.

    Parameters
    ----------
    blocks : statistics at full scale. gain, read_variance : the line.
    floor : signal of DN 0, at which clipping takes noise away; None if nothing was clipped.
    """
    same = np.ones(len(pattern.classes))
    if pattern.kind == "mono":
        return same
    energy, number = blocks.energy, blocks.energy.shape[1]
    levels, place = blocks.sorted_levels
    level, kept = (found.take(place) for found in unclipped(levels, gain, read_variance, floor))
    line = gain * level + read_variance
    total = energy.sum(axis=1)
    calm = (blocks.luma_energy * number**2 <= NOISE_LIKE * total) & (total <= LINE_LIKE * line.sum(axis=1))
    used = calm[:, None] & (kept > 0)
    ratio = np.divide(energy, line * kept, out=np.full_like(line, np.nan), where=used)
    of_plane = _colour_of_planes(pattern)
    found = [ratio[:, of_plane == colour] for colour in range(3)]
    if min(np.isfinite(one).any(axis=1).sum() for one in found) < max(FEWEST_BLOCKS, LEAST_SHARE * len(level)):
        return same
    medians = np.array([np.nanmedian(one) for one in found])
    return medians[pattern.colour_of_class] if medians.max() >= DIFFERENT * medians.min() else same


def _colour_of_planes(pattern: CFAPattern) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the index among R, G, B of the colour of each plane of a block."""
    cell = pattern.canonical
    _, sites = lattices_of(cell)
    return np.array(["RGB".index(cell.colour_at(*site[0, 0].tolist())) for site in sites], np.intp)
