"""Decide whether a sample that leaves the range of its neighbours is a hot or dead pixel (see `defect_search`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Steps = tuple[tuple[int, int], ...]
"""Steps in (rows, columns) from a sample."""


@dataclass(frozen=True)
class Limits:
    """What a sample must reach to count as a defect.

    Attributes
    ----------
    sigmas : least distance from the range of its neighbours (its height), noise standard deviations.
    texture : least height, in widths of that range.
    shared : largest sum of the changes of the four adjacent samples in the same direction, as a fraction of the height;
        0.8 for the sharpest white star.
    sure_sigmas : standard errors by which that sum must stay below its limit.
    spread : largest sum of the changes of the four nearest samples of its colour, as a fraction of the height, beyond
        `SPREAD_SIGMAS` standard errors; 0.03 for a star of 1.5 pixels, 0.25 for one of 2. Only asked of bright samples.
    """

    sigmas: float
    texture: float
    shared: float
    sure_sigmas: float
    spread: float


STRICT = Limits(sigmas=9.0, texture=2.0, shared=0.2, sure_sigmas=1.0, spread=0.01)
DAYLIGHT = Limits(sigmas=9.0, texture=2.0, shared=0.2, sure_sigmas=0.0, spread=0.12)
"""For samples on ground brighter than `DAYLIGHT_GROUND`: sharp lights of one colour, such as distant tail lamps, are
seen at night."""
LOOSE = Limits(sigmas=5.0, texture=1.5, shared=0.5, sure_sigmas=0.0, spread=0.01)
"""For dark samples that lost `DEAD` of the light."""
DAYLIGHT_GROUND = 0.05
"""Signal."""
SUSPECT = Limits(sigmas=6.0, texture=1.5, shared=0.5, sure_sigmas=0.0, spread=0.5)
"""For samples that count only if other photos show them too."""
DEAD = 0.5
"""Fraction of the darkest neighbour. A dead sample counts no light, a cold one lacks a fixed amount."""
CLIPPED = 0.95
"""Part of the saturation above which a sample may be clipped."""
SPREAD_SIGMAS = 2.0
"""Standard errors by which samples of a point of light must rise (`Limits.spread`)."""

BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
NEAREST = {2: ((-2, 0), (2, 0), (0, -2), (0, 2)), 6: ((-3, -3), (3, 3), (-3, 3), (3, -3))}
"""Steps from any sample to near ones of its colour, by the side of the cell."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """How samples differ from their surroundings, each (n,).

    Attributes
    ----------
    height : signed distance from the range of all surrounding samples of their colour, negative if darker.
    low, high : that range. sigma : noise standard deviation. span : largest of that range and those of the other
        colours. beside, error : sum of the changes of the four adjacent samples, and its standard error.
    spread : sum of the changes of the nearest samples of their colour less `SPREAD_SIGMAS` standard errors; minus
        infinity where it proves nothing. ground : mean of the surroundings.
    """

    height: FloatArray
    low: FloatArray
    high: FloatArray
    sigma: FloatArray
    span: FloatArray
    beside: FloatArray
    error: FloatArray
    spread: FloatArray
    ground: FloatArray

    @classmethod
    def of(cls, data: FloatArray, found: IntArray, pattern: CFAPattern, noise: NoiseModel) -> Evidence:
        """Measure the samples at flat indices, (n,)."""
        low, high = _range_of_colour(data, found, pattern)
        value = data.ravel()[found]
        near = np.clip(value, low, high)
        height, sigma = value - near, deviation_at(near, noise)
        beside, error, span, ground = _changes_beside(data, found, noise, NEAREST[pattern.side])
        spread, deviations = _change_of_colour(data, found, pattern)
        spread -= SPREAD_SIGMAS * deviations * sigma
        spread[height < 0] = -np.inf
        return cls(height, low, high, sigma, np.maximum(span, high - low), beside, error, spread, ground)

    def meets(self, limits: Limits) -> BoolArray:
        """Whether the samples reach the limits, (n,)."""
        size, sign = np.abs(self.height), np.sign(self.height)
        far = size > np.maximum(limits.sigmas * self.sigma, limits.texture * self.span)
        single = sign * self.beside + limits.sure_sigmas * self.error < limits.shared * size
        return np.asarray(far & single & (self.spread < limits.spread * size))

    def proves(self, saturation: float) -> BoolArray:
        """Whether the samples leave the range of all surrounding samples of their colour, and do so alone, (n,).

        Parameters
        ----------
        saturation : signal at which the sensor clips.
        """
        dark = self.height < 0
        strict = self.meets(STRICT) | self.meets(DAYLIGHT) & (self.ground > DAYLIGHT_GROUND)
        dead = self.meets(LOOSE) & dark & (-self.height > DEAD * self.low)
        return np.asarray(strict & (~dark | (self.high < CLIPPED * saturation)) | dead)


def _range_of_colour(data: FloatArray, found: IntArray, pattern: CFAPattern) -> tuple[FloatArray, FloatArray]:
    """Return the range of the surrounding samples of the colour of each candidate, twice (n,)."""
    side = pattern.side
    low, high = np.empty(len(found), data.dtype), np.empty(len(found), data.dtype)
    row, column = np.divmod(found, data.shape[1])
    site = row % side * side + column % side
    for each in np.unique(site).tolist():
        here = site == each
        low[here], high[here] = _range(data, found[here], _same_colour(pattern, *divmod(each, side)))
    return low, high


def _changes_beside(
    data: FloatArray, found: IntArray, noise: NoiseModel, nearest: Steps
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return by how much the four adjacent samples together rise at each candidate, four times (n,).

    Their rise is measured against samples of their own colour farther out.

    Returns
    -------
    The rise, its standard error, the largest range of those samples farther out, and their mean.
    """
    flat, width = data.ravel(), data.shape[1]
    rise, level, span, ground = (np.zeros(len(found), data.dtype) for _ in range(4))
    for down, right in BESIDE:
        near = flat[found + down * width + right]
        # of their colour, but not on the other side of the candidate
        outwards = [(down + y, right + x) for y, x in nearest if (y, x) != (-2 * down, -2 * right)]
        far = np.stack([flat[found + y * width + x] for y, x in outwards])
        mean = far.mean(axis=0)
        rise += near - mean
        ground += mean / len(BESIDE)
        level = np.maximum(level, near)
        span = np.maximum(span, np.ptp(far, axis=0))
    # four samples and four means; neighbouring means share some samples
    return rise, np.sqrt(4 + 4 / len(outwards)) * deviation_at(level, noise), span, ground


def _change_of_colour(data: FloatArray, found: IntArray, pattern: CFAPattern) -> tuple[FloatArray, FloatArray]:
    """Return by how much near samples of its colour together rise at each candidate, twice (n,).

    Bayer: the four nearest, against those twice as far. X-Trans: those up to two rows and columns away, against the
    nearest on the diagonals.

    Returns
    -------
    The rise, and its standard error in standard deviations of one sample.
    """
    flat, (width, side) = data.ravel(), (data.shape[1], pattern.side)
    steps = np.array([y * width + x for y, x in NEAREST[side]])
    if side == 2:
        rise = flat[found[:, None] + steps].sum(axis=1) - flat[found[:, None] + 2 * steps].sum(axis=1)
        return rise, np.full(len(found), np.sqrt(8), data.dtype)
    rise, error = np.empty(len(found), data.dtype), np.empty(len(found), data.dtype)
    row, column = np.divmod(found, width)
    site = row % side * side + column % side
    for each in np.unique(site).tolist():
        here = site == each
        near = [y * width + x for y, x in _same_colour(pattern, *divmod(each, side)) if max(abs(y), abs(x)) <= 2]
        ground = flat[found[here, None] + steps].mean(axis=1)
        rise[here] = flat[found[here, None] + np.array(near)].sum(axis=1) - len(near) * ground
        error[here] = np.sqrt(len(near) + len(near) ** 2 / len(steps))
    return rise, error


def _same_colour(pattern: CFAPattern, row: int, column: int) -> Steps:
    """Return the steps to the samples of the same colour up to two rows and columns away, and to the nearest ones."""
    around = range(-2, 3)
    own = pattern.colour_at(row, column)
    steps = [
        (down, right)
        for down in around
        for right in around
        if (down, right) != (0, 0) and pattern.colour_at(row + down, column + right) == own
    ]
    return (*steps, *NEAREST[pattern.side])


def _range(data: FloatArray, found: IntArray, steps: Steps) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest of the samples at the given (row, column) steps from each index."""
    flat, width = data.ravel(), data.shape[1]
    low = flat[found + steps[0][0] * width + steps[0][1]]
    high = low.copy()
    for down, right in steps[1:]:
        value = flat[found + down * width + right]
        np.minimum(low, value, out=low)
        np.maximum(high, value, out=high)
    return low, high


def deviation_at(level: FloatArray, noise: NoiseModel) -> FloatArray:
    """Return the noise standard deviation at a level, for the noisiest plane."""
    gain, read = np.float32(noise.gain.max()), np.float32(noise.read_variance.max())
    return np.asarray(np.sqrt(gain * np.maximum(level, 0) + read))
