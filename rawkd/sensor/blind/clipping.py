"""What clipping at DN 0 does to the mean and the variance of noise, and how to undo it."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from rawkd.photo import DoubleArray

CLEAR_SIGMAS = 1.0
"""A level is believed while it stands this many standard deviations above the floor."""


def unclipped(
    level: DoubleArray, gain: float, read_variance: float, floor: float | None
) -> tuple[DoubleArray, DoubleArray]:
    """Signal behind the mean of clipped samples, and the part of the noise variance that clipping left.

    The moments of a Gaussian cut off at the floor, its mean raised and its variance shrunk. The part is 0 where too
    little is left to go by: nearer to the floor than one standard deviation, and than most of the picture stands.

    Parameters
    ----------
    level : means of clipped samples, signal, any shape.
    gain, read_variance : the noise.
    floor : signal of DN 0, or None where nothing was clipped.
    """
    if floor is None:
        return np.maximum(level, 0), np.ones_like(level)
    top = max(float(level.max()), floor + 1e-3)
    signal = floor + (top - floor) * np.linspace(0, 1, 512) ** 2
    sd = np.sqrt(gain * np.maximum(signal, 0) + read_variance)
    height = (signal - floor) / sd
    density = np.exp(-(height**2) / 2) / np.sqrt(2 * np.pi)
    above = np.array([(1 + erf(z / sqrt(2))) / 2 for z in height.tolist()])
    first = height * above + density
    second = (height**2 + 1) * above + height * density
    mean, kept = floor + sd * first, second - first**2
    seen_height = np.interp(level, mean, height)
    limit = min(CLEAR_SIGMAS, float(np.quantile(seen_height, 0.6)))
    true_level = np.maximum(np.interp(level, mean, signal), 0)
    return true_level, np.where(seen_height >= limit, np.interp(level, mean, kept), 0.0)
