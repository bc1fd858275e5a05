"""Correct the mean and variance of noise for clipping at DN 0."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from rawkd.photo import DoubleArray

CLEAR_SIGMAS = 1.0
"""A level is used if it lies at least this many standard deviations above the floor."""


def unclipped(
    level: DoubleArray, gain: float, read_variance: float, floor: float | None
) -> tuple[DoubleArray, DoubleArray]:
    """Return the true signal behind means of clipped samples, and the fraction of the noise variance clipping left.

    Inverts the moments of a Gaussian censored at the floor: clipping raises its mean and lowers its variance. The
    fraction is 0, meaning "do not use", for levels too close to the floor: below `CLEAR_SIGMAS` standard deviations
    and below the 60 % quantile of the levels.

    Parameters
    ----------
    level : means of clipped samples, signal, any shape; in ascending order it takes a tenth of the time.
    gain, read_variance : noise parameters, signal units.
    floor : signal of DN 0, or None if nothing was clipped.
    """
    if floor is None:
        return np.maximum(level, 0), np.ones_like(level)
    top = max(float(level.max()), floor + 1e-3)
    signal = floor + (top - floor) * np.linspace(0, 1, 512) ** 2
    sd = np.sqrt(gain * np.maximum(signal, 0) + read_variance)
    height = (signal - floor) / sd
    density = np.exp(-(height**2) / 2) / np.sqrt(2 * np.pi)
    above = (1 + np.fromiter(map(erf, (height / sqrt(2)).tolist()), np.float64, len(height))) / 2
    first = height * above + density
    second = (height**2 + 1) * above + height * density
    mean, kept = floor + sd * first, second - first**2
    seen_height = np.interp(level, mean, height)
    limit = min(CLEAR_SIGMAS, float(np.quantile(seen_height, 0.6)))
    true_level = np.maximum(np.interp(level, mean, signal), 0)
    return true_level, np.where(seen_height >= limit, np.interp(level, mean, kept), 0.0)
