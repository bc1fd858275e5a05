"""Fit a first variance line to the blocks whose band energies look like white noise.

White noise is independent between planes and has the same variance in every band. So in a block of pure noise the luma
bands hold the energy of the planes' fine bands over the number of planes. Texture is common to all planes and stronger
in coarse bands, so it raises this ratio. The test needs no initial guess of the noise, and it also finds flat dark
blocks of cameras with unusually high read noise. Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawkd.photo import DoubleArray
from rawkd.sensor.blind.blocks import BlockStatistics
from rawkd.sensor.blind.least_squares import non_negative

NOISE_LIKE = 1.3
"""Largest ratio of luma energy to the energy expected of noise in a noise-like block: one standard deviation."""
FEWEST = 0.02
"""Least share of blocks to use; if fewer look like noise, the most noise-like ones are used."""
GROUP_BLOCKS, MOST_GROUPS = 12, 24
"""Least number of blocks in a group of similar level, and largest number of groups."""
LOW = 0.2
"""Quantile of a group's variances that is used as its noise; low, because texture only adds variance."""
FAR_ABOVE, FAR_WEIGHT = 1.2, 0.3
"""Groups more than this factor above the line may be texture; their weight in the fit."""
ROUNDS = 8


@dataclass(frozen=True, eq=False)
class QuietGroups:
    """Groups of noise-like blocks of similar level, in the order of their levels.

    Attributes
    ----------
    level : (n,) median signal. variance : (n,) the quantile `LOW` of the variances. blocks : (n,) number of blocks.
    """

    level: DoubleArray
    variance: DoubleArray
    blocks: DoubleArray


def quiet_groups(blocks: BlockStatistics) -> QuietGroups:
    """Return groups of the noise-like blocks.

    Parameters
    ----------
    blocks : at least two.
    """
    energy = blocks.energy.mean(axis=1)
    likeness = blocks.energy.shape[1] * blocks.luma_energy / np.maximum(energy, 1e-30)
    chosen = likeness <= max(NOISE_LIKE, float(np.quantile(likeness, FEWEST)))
    level, energy = np.maximum(blocks.level[chosen].mean(axis=1), 0), energy[chosen]
    groups = np.array_split(np.argsort(level), min(max(len(level) // GROUP_BLOCKS, 2), MOST_GROUPS))
    groups = [group for group in groups if len(group)]
    levels = np.array([np.median(level[group]) for group in groups])
    variances = np.array([np.quantile(energy[group], LOW) for group in groups])
    return QuietGroups(levels, variances, np.array([len(group) for group in groups], np.float64))


def first_line(blocks: BlockStatistics) -> tuple[float, float]:
    """Return gain and read variance (>= 0, signal units) of a line through the quietest blocks of every level.

    Parameters
    ----------
    blocks : at least two.
    """
    groups = quiet_groups(blocks)
    levels, variances = groups.level, groups.variance
    sigma = np.maximum(variances, 1e-15)
    for _ in range(ROUNDS):
        columns = np.stack([levels, np.ones_like(levels)]) / sigma
        gain, read = non_negative(columns @ columns.T + np.diag([1e-30, 0]), columns @ (variances / sigma))
        line = np.maximum(gain * levels + read, 1e-15)
        sigma = line / np.where(variances > FAR_ABOVE * line, FAR_WEIGHT, 1)
    return float(gain), float(read)
