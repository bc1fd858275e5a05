"""How much clipping at the smallest integer raises the mean of the noise.

Noise is a Poisson number of electrons and Gaussian read noise (`sensor.noise`). With k electrons a pixel is Gaussian
around gain * k; cutting that off at the floor raises its mean by s (phi(h) - h (1 - Phi(h))), where s is the standard
deviation of the read noise and h = (gain * k - floor) / s. The mean over the Poisson distribution of k is the sum that
follows; phi and Phi are the density and the distribution function of the standard normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray
from rawkd.sensor.noise import NoiseModel

CLIPPING_SIGMAS = 3.0
"""If black lies less than this far above the smallest integer, clipping raises the mean of noise."""
LEAST_ROOM_SIGMAS = 0.75
"""If black lies less than this far above it, the noisy mosaic says nothing about means: a read variance that is wrong
by half would change them by more than a network's error."""
POINTS = 256
"""Levels at which the sum is tabulated."""
FAR_SIGMAS = 5.0
"""Electrons whose signal lies further than this many deviations of the read noise above the floor are not clipped."""
MOST_ELECTRONS = 200
"""Number of electrons above which shot noise counts as Gaussian: read noise, then 40 electrons, hides its shape."""
MIN_VARIANCE = 1e-24
"""Read variance that stands for none."""


@dataclass(frozen=True, eq=False)
class RaisedMean:
    """What clipping adds to the mean, by level of the signal.

    Attributes
    ----------
    level : (n,) ascending, signal units. raised : (n,) added to the mean, signal units.
    slope : (n,) derivative of the mean of clipped noise by the level; 1 far above the floor.
    """

    level: DoubleArray
    raised: DoubleArray
    slope: DoubleArray

    @classmethod
    def of(cls, gain: float, read_variance: float, floor: float) -> RaisedMean:
        """Return the table of one noise class.

        Parameters
        ----------
        gain, read_variance : noise parameters, signal units. floor : signal of the smallest integer, below 0.
        """
        sigma = sqrt(max(read_variance, MIN_VARIANCE))
        far = max(FAR_SIGMAS * sigma + floor, 0.0)
        below = np.linspace(floor, 0, POINTS, endpoint=False)
        dark = below, *_gaussian(below, floor, 0.0, sigma)
        if far / gain >= MOST_ELECTRONS:
            top = far - far % gain + gain
            level = np.linspace(0, top + FAR_SIGMAS * sqrt(gain * top), POINTS)
            lit = level, *_gaussian(level, floor, gain, sigma)
        else:
            lit = _summed(np.arange(int(far / gain) + 1), gain, floor, sigma)
        return cls(*(np.concatenate(pair) for pair in zip(dark, lit, strict=True)))

    def at(self, level: FloatArray | DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Return `raised` and `slope` at any levels."""
        raised, slope = (np.interp(level, self.level, values) for values in (self.raised, self.slope))
        return raised, slope


def too_near_black(noise: NoiseModel, floor: float) -> bool:
    """Whether so much of the noise is clipped at the smallest integer, of signal `floor`, that means are unknown."""
    return floor > -LEAST_ROOM_SIGMAS * float(np.sqrt(noise.read_variance.max()))


def raised_means(noise: NoiseModel, floor: float) -> tuple[RaisedMean, ...]:
    """Return what clipping adds to the mean of each noise class; none if the smallest integer lies far below black."""
    if floor <= -CLIPPING_SIGMAS * float(np.sqrt(noise.read_variance.max())):
        return ()
    pairs = zip(noise.gain.tolist(), noise.read_variance.tolist(), strict=True)
    return tuple(RaisedMean.of(gain, read, floor) for gain, read in pairs)


def _summed(
    electrons: NDArray[np.intp], gain: float, floor: float, sigma: float
) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
    """Return levels from 0, what clipping adds, and the slope: sums over the numbers of electrons."""
    top = float(electrons[-1])
    mean = np.linspace(0, top + 6 * sqrt(top) + 12, POINTS)  # beyond, fewer than 1e-5 of the pixels have so few
    chance = np.empty((POINTS, len(electrons)))
    chance[:, 0] = np.exp(-mean)
    for number in electrons[1:]:
        chance[:, number] = chance[:, number - 1] * mean / number
    fewer = np.concatenate([np.zeros((POINTS, 1)), chance[:, :-1]], axis=1)
    added = _added(np.asarray((gain * electrons - floor) / sigma, np.float64)) * sigma
    return gain * mean, chance @ added, 1 + (fewer - chance) @ added / gain


def _gaussian(level: DoubleArray, floor: float, gain: float, sigma: float) -> tuple[DoubleArray, DoubleArray]:
    """Return what clipping adds to the mean of Gaussian noise of variance gain * level + sigma^2, and the slope."""
    spread = np.sqrt(gain * level + sigma**2)
    height = (level - floor) / spread
    return _added(height) * spread, 1 - _tail(height) + _density(height) * gain / (2 * spread)


def _added(height: DoubleArray) -> DoubleArray:
    """Return what cutting off a standard normal at -height adds to its mean."""
    return _density(height) - height * _tail(height)


def _density(height: DoubleArray) -> DoubleArray:
    """Return the density of a standard normal."""
    return np.asarray(np.exp(-(height**2) / 2) / np.sqrt(2 * np.pi))


def _tail(height: DoubleArray) -> DoubleArray:
    """Return the probability that a standard normal lies above `height`."""
    return np.array([erfc(value / sqrt(2)) / 2 for value in height.tolist()])
