"""Find a wrong black level: with it, the noise would vanish at a signal above black.

The variance of a sensor is at least gain x signal, so a line through the variances of all levels meets zero at black or
below. If the black level is too low by p, all signals are too high by p, and the line meets zero near p. Texture bends
the line upwards: its variance grows with the square of the signal, and a term of its own takes it up. Our choice.

On 95 pictures at gains 5e-5, 3e-4, 1.5e-3 and 6e-3 the limits give 2, 0, 0 and 0 false alarms; a black level that is
too low by 0.06 is found in 12, 26, 37 and 60 of them, those with smooth areas (`benchmarks/wrong_black.py`).
"""

from __future__ import annotations

import numpy as np

from rawkd.sensor.blind.blocks import BlockStatistics
from rawkd.sensor.blind.first_line import quiet_groups

CLEARLY_ABOVE = 0.025
"""Least signal at which the noise vanishes that counts as clearly above black."""
CERTAIN_SIGMAS, WORST_MISFIT = 6.0, 10.0
"""Least significance of the line's negative intercept, and largest chi-square per group: more is texture."""
FEWEST_GROUPS = 5
LOW_QUANTILE_ERROR = 1.4
"""Standard error of a 20 % quantile of Gaussian numbers over that of their mean."""
FLOOR_SIGMAS = 3.0
"""Groups closer to the floor than this many standard deviations have lost a part of their noise."""
LOWEST = 0.2
"""Least part of a group's variance that the line may have there, so that weights stay finite."""
ROUNDS = 8


def noise_vanishes_at(blocks: BlockStatistics, floor: float | None) -> float | None:
    """Return the signal at which the noise would vanish, if that is clearly above black; else None.

    Parameters
    ----------
    floor : signal at which the file clips shadows, or None.
    """
    groups = quiet_groups(blocks)
    kept = groups.variance > 0
    if floor is not None:
        kept &= groups.level > floor + FLOOR_SIGMAS * np.sqrt(groups.variance)
    level, variance, count = (values[kept] for values in (groups.level, groups.variance, groups.blocks))
    if len(level) < FEWEST_GROUPS:
        return None
    of_block = np.sqrt(2 / (blocks.count * blocks.energy.shape[1]))
    relative = LOW_QUANTILE_ERROR * of_block / np.sqrt(count)
    terms = np.stack([np.ones_like(level), level, level**2])
    fitted = variance
    for _ in range(ROUNDS):
        sigma = relative * fitted
        for used in (3, 2):  # without the term of texture if it is negative
            columns = terms[:used] / sigma
            normal = columns @ columns.T
            try:
                values, covariance = np.linalg.solve(normal, columns @ (variance / sigma)), np.linalg.inv(normal)
            except np.linalg.LinAlgError:
                return None
            if values[-1] >= 0:
                break
        line = values @ terms[:used]
        misfit = float(np.mean(((variance - line) / sigma) ** 2))
        fitted = np.maximum(line, LOWEST * variance)
    read, gain = float(values[0]), float(values[1])
    error = float(np.sqrt(covariance[0, 0] * max(misfit, 1.0)))
    if gain <= 0 or misfit > WORST_MISFIT or read > -CERTAIN_SIGMAS * error:
        return None
    return -read / gain if -read > CLEARLY_ABOVE * gain else None
