"""A first variance line, from blocks whose own bands look like noise.

White noise is independent from plane to plane and has the same variance in every band, so in a block of noise alone
the luma bands hold a quarter of what the planes' fine bands hold. Texture lies in all planes together and more of it in
coarser bands, so it holds more. That needs no guess of the noise, and finds the flat blocks of dark areas whose read
noise is far above that of most cameras. Our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.sensor.blind.blocks import BlockStatistics
from rawkd.sensor.blind.least_squares import non_negative

NOISE_LIKE = 1.3
"""Luma energy over a quarter of the planes' energy up to which a block looks like noise: one standard deviation."""
FEWEST = 0.02
"""Where fewer blocks than this share look like noise, those that do most are taken."""
GROUP_BLOCKS, MOST_GROUPS = 12, 24
"""Least number of blocks in a group of like level, and the number of groups."""
LOW = 0.2
"""Quantile of the variances of a group that is taken for its noise: texture only adds."""
FAR_ABOVE, FAR_WEIGHT = 1.2, 0.3
"""Groups this many times above the line, and how much they count: they may be texture."""
ROUNDS = 8


def first_line(blocks: BlockStatistics) -> tuple[float, float]:
    """Gain and read variance of a line through the quietest blocks of every level, neither below zero; signal units.

    Parameters
    ----------
    blocks : at least two.
    """
    energy = blocks.energy.mean(axis=1)
    likeness = 4 * blocks.luma_energy / np.maximum(energy, 1e-30)
    chosen = likeness <= max(NOISE_LIKE, float(np.quantile(likeness, FEWEST)))
    level, energy = np.maximum(blocks.level[chosen].mean(axis=1), 0), energy[chosen]
    groups = np.array_split(np.argsort(level), min(max(len(level) // GROUP_BLOCKS, 2), MOST_GROUPS))
    groups = [group for group in groups if len(group)]
    levels = np.array([np.median(level[group]) for group in groups])
    variances = np.array([np.quantile(energy[group], LOW) for group in groups])
    sigma = np.maximum(variances, 1e-15)
    for _ in range(ROUNDS):
        columns = np.stack([levels, np.ones_like(levels)]) / sigma
        gain, read = non_negative(columns @ columns.T + np.diag([1e-30, 0]), columns @ (variances / sigma))
        line = np.maximum(gain * levels + read, 1e-15)
        sigma = line / np.where(variances > FAR_ABOVE * line, FAR_WEIGHT, 1)
    return float(gain), float(read)
