"""The variance line through the blocks of a picture, with the texture kept out.

Texture only adds variance. So a block counts only while its luma bands hold no more than the noise in force explains;
two regressors stand for the texture left in flat blocks, one that follows each block's luma excess and one of the same
contrast everywhere; and what still lies far above the line is cut off. The fit begins below the line and grows. Where
nothing but texture is seen, the relative error says so.
Our choice throughout; the constants were found on unprocessed photographs, with and without film grain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawkd.errors import NoiseError
from rawkd.photo import DoubleArray
from rawkd.sensor.blind.blocks import LUMA, NOISE, BlockStatistics
from rawkd.sensor.blind.clipping import unclipped
from rawkd.sensor.noise import READ_PRIOR_SLOPE, read_variance_prior

MIN_BLOCKS = 24
MIN_GAIN = 1e-8

ROUNDS = 20
FLAT_SIGMAS = 3.0
"""A block is flat while its luma energy exceeds the noise's by at most this many standard deviations."""
FLATTEST = 0.02
"""Where fewer blocks than this share, or than `MIN_BLOCKS`, are flat, the flattest are taken all the same."""
CONTRAST_SD, LEAST_DOUBT = 1e-3, 0.05
"""Expected squared relative contrast of flat blocks: the ridge on the uniform texture term. It shrinks with the share
of blocks that are not flat, down to this part: a picture that is flat all over has no texture."""
EXCESS_SD = 2.0
"""Expected ratio of fine to luma texture energy: the ridge on the luma excess term."""
PRIOR_SD, PRIOR_REACH = 0.6, 2.0
"""Spread of log read variance about the prior line, and the difference beyond which it pulls no harder."""
LEAST_KEPT = 0.3
"""Where no level is clear of clipping, no more than this part of the variance is taken to have been left."""


@dataclass(frozen=True)
class VarianceLine:
    """variance(x) = gain * x + read_variance, and how well it is known.

    Attributes
    ----------
    gain, read_variance : signal units.
    level : median signal of the samples in use, where the line is known best.
    relative_error : standard error of the variance at `level`, relative.
    texture_share : part of the variance of the samples in use that was put down to texture.
    flat_share : part of the blocks that are flat.
    """

    gain: float
    read_variance: float
    level: float
    relative_error: float
    texture_share: float
    flat_share: float

    def at(self, level: float) -> float:
        """Variance at a signal."""
        return self.gain * max(level, 0.0) + self.read_variance


def fit_line(blocks: BlockStatistics, *, saturation: float, floor: float | None, step: float = 0.0) -> VarianceLine:
    """The variance line of all planes together.

    Parameters
    ----------
    blocks : statistics of the picture's blocks.
    saturation, floor, step : as for `estimate_noise`.

    Raises
    ------
    NoiseError: if there are fewer than 24 blocks.
    """
    if len(blocks.level) < MIN_BLOCKS:
        raise NoiseError(
            f"only {len(blocks.level)} blocks of the picture can be measured, where {MIN_BLOCKS} are needed"
        )
    least_read = max(step**2 / 12, 1e-12)
    gain = max(float(np.quantile(blocks.energy / np.maximum(blocks.level, 0.003), 0.02)), MIN_GAIN)
    guess = _Guess(gain, max(read_variance_prior(gain), least_read))
    for _ in range(ROUNDS):
        samples = _select(blocks, guess, saturation, floor)
        solution = _solve(samples, guess, least_read)
        level = samples.level_of_all
        before, guess = guess.gain * level + guess.read, solution.guess
        if abs(guess.gain * level + guess.read - before) < 1e-3 * before:
            break
    variance = guess.gain * level + guess.read
    error = float(np.sqrt(np.array([level, 1.0]) @ solution.covariance @ np.array([level, 1.0]))) / variance
    return VarianceLine(guess.gain, guess.read, level, error, solution.texture_share, samples.flat_share)


@dataclass(frozen=True)
class _Guess:
    """Parameters in force: the line, and the two texture terms (squared contrast, fine over luma energy)."""

    gain: float
    read: float
    contrast: float = 0.0
    excess: float = 0.0


@dataclass(frozen=True, eq=False)
class _Samples:
    """What counts under a guess.

    Attributes
    ----------
    level, variance : (k,) signal and variance with clipping undone. excess : (k,) texture energy of the luma bands.
    level_of_all : median level of the picture. flat_share : part of its blocks that are flat.
    """

    level: DoubleArray
    variance: DoubleArray
    excess: DoubleArray
    level_of_all: float
    flat_share: float


@dataclass(frozen=True, eq=False)
class _Solution:
    guess: _Guess
    covariance: DoubleArray
    texture_share: float


def _select(blocks: BlockStatistics, guess: _Guess, saturation: float, floor: float | None) -> _Samples:
    """The planes of flat blocks that are clear of both ends of the range."""
    level, kept = unclipped(blocks.level, guess.gain, guess.read, floor)
    noise = guess.gain * level + guess.read
    luma_noise = (noise * kept).sum(axis=1) / 16
    luma_level = np.maximum(level.mean(axis=1), 1e-3)
    ratio = blocks.luma_energy / np.maximum(luma_noise, 1e-15)
    flat = ratio <= 1 + FLAT_SIGMAS * np.sqrt(2 / LUMA.sum())
    lit = luma_level >= min(guess.read / guess.gain, float(np.median(luma_level)))
    share = min(max(FLATTEST, MIN_BLOCKS / lit.sum()), 1.0)
    taken = flat | (lit & (ratio <= np.quantile(ratio[lit], share)))
    use = taken[:, None] & (kept > 0) & (level + 3 * np.sqrt(noise) < saturation)
    if not use.any():
        use = taken[:, None] & np.ones_like(level, dtype=bool)
        kept = np.maximum(kept, LEAST_KEPT)
    contrast = (blocks.luma_energy - luma_noise) / luma_level**2
    return _Samples(
        level=level[use],
        variance=blocks.energy[use] / kept[use],
        excess=(contrast[:, None] * level**2)[use],
        level_of_all=float(np.median(level)),
        flat_share=float(flat.mean()),
    )


def _solve(samples: _Samples, guess: _Guess, least_read: float) -> _Solution:
    """Weighted non-negative least squares, the priors as rows, samples far above the line cut off."""
    model = guess.gain * samples.level + guess.read + guess.contrast * samples.level**2
    model += np.maximum(guess.excess * samples.excess, 0)
    sigma = np.sqrt(2 / NOISE.sum())
    ratio = samples.variance / model
    use = ratio <= max(1 + 3 * sigma, 1.3 * float(np.quantile(ratio, 0.3)))
    level, excess = samples.level[use], samples.excess[use]
    columns = np.stack([level, np.ones_like(level), level**2, excess]) / (sigma * model[use])
    rows, targets = _priors(guess, CONTRAST_SD * max(1 - samples.flat_share, LEAST_DOUBT))
    normal = columns @ columns.T + rows.T @ rows
    scale = 1 / np.sqrt(np.diag(normal))
    normal = normal * np.outer(scale, scale) + 1e-12 * np.eye(4)
    right = (columns @ (samples.variance[use] / (sigma * model[use])) + rows.T @ targets) * scale
    values = _non_negative(normal, right) * scale
    covariance = np.linalg.inv(normal) * np.outer(scale, scale)
    solved = _Guess(
        gain=float(values[0]) if values[0] > MIN_GAIN else max(guess.gain / 2, MIN_GAIN),
        read=max(float(values[1]), least_read),
        contrast=float(values[2]),
        excess=float(values[3]),
    )
    texture = solved.contrast * level**2 + np.maximum(solved.excess * excess, 0)
    share = float(texture.sum() / (texture + solved.gain * level + solved.read).sum())
    return _Solution(solved, covariance[:2, :2], share)


def _non_negative(normal: DoubleArray, right: DoubleArray) -> DoubleArray:
    """The x >= 0 with the least x.normal.x / 2 - right.x: the best of the free solutions over all subsets."""
    best, least = np.zeros(len(right)), 0.0
    for subset in range(1, 2 ** len(right)):
        free = np.flatnonzero([subset >> bit & 1 for bit in range(len(right))])
        values = np.linalg.solve(normal[np.ix_(free, free)], right[free])
        cost = -float(right[free] @ values) / 2
        if cost < least and (values >= 0).all():
            best, least = np.zeros(len(right)), cost
            best[free] = values
    return best


def _priors(guess: _Guess, contrast_sd: float) -> tuple[DoubleArray, DoubleArray]:
    """Rows and targets: log read variance near the prior line (linearised), both texture terms near zero."""
    prior = read_variance_prior(guess.gain)
    read = max(guess.read, 1e-3 * prior)
    distance = float(np.clip(np.log(read / prior), -PRIOR_REACH, PRIOR_REACH))
    line = np.array([-READ_PRIOR_SLOPE / guess.gain, 1 / read, 0, 0]) / PRIOR_SD
    rows = np.stack([line, [0, 0, 1 / contrast_sd, 0], [0, 0, 0, 1 / EXCESS_SD]])
    return rows, np.array([(1 - READ_PRIOR_SLOPE - distance) / PRIOR_SD, 0, 0])
