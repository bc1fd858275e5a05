"""Fit the variance line to the blocks of a picture while rejecting texture.

Texture only adds variance, so three steps reject it:

- A block is used only if the current noise estimate explains the energy of its luma bands.
- Two regressors model the texture left in flat blocks: one proportional to each block's luma excess, one with the same
  contrast everywhere.
- Blocks that still lie far above the line are dropped.

If the picture is all texture, the relative error is large. All of this is our choice; the constants were tuned on
unprocessed photos with and without film grain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rawkd.errors import NoiseError
from rawkd.photo import DoubleArray
from rawkd.sensor.blind.blocks import LUMA, BlockStatistics
from rawkd.sensor.blind.clipping import unclipped
from rawkd.sensor.blind.first_line import first_line
from rawkd.sensor.blind.least_squares import inverse, non_negative
from rawkd.sensor.blind.read_prior import ReadPrior
from rawkd.sensor.blind.uncertain_line import UncertainLine, VarianceLine

MIN_BLOCKS = 24
MIN_GAIN = 1e-8

ROUNDS = 20
FLAT_SIGMAS = 3.0
"""A block is flat if its luma energy exceeds that of the noise by at most this many standard deviations."""
FLATTEST = 0.02
"""Least share of blocks to use, and at least `MIN_BLOCKS`; if fewer are flat, the flattest ones are used."""
CONTRAST_SD, LEAST_DOUBT = 1e-3, 0.05
"""Expected squared relative contrast of flat blocks: the ridge on the uniform texture term. It is scaled by the share
of blocks that are not flat, but at least by `LEAST_DOUBT`: a picture that is flat everywhere has no texture."""
EXCESS_SD = 2.0
"""Expected ratio of fine to luma texture energy: the ridge on the luma excess term."""
LEAST_SHOT = 4.0
"""Least ratio of the shot variance at white to the read variance; every camera lies above it. The limit keeps the read
variance from absorbing the gain if all levels are similar."""
WITH_SHOT = np.array([[1, LEAST_SHOT, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""Matrix from (gain above its lower limit, read variance, two texture terms) to (gain, read variance, same terms)."""
SHADOWS = 0.05
"""Quantile of the picture's levels that represents its shadows."""
LEAST_KEPT = 0.3
"""Lower limit of the variance fraction left by clipping, if every level is close to the clipping point."""


def fit_line(
    blocks: BlockStatistics,
    *,
    saturation: float,
    floor: float | None,
    step: float = 0.0,
    masked_read_variance: float | None = None,
) -> VarianceLine:
    """Fit one variance line to all planes together.

    Parameters
    ----------
    blocks : statistics of the picture's blocks.
    saturation, floor, step, masked_read_variance : as for `estimate_noise`.

    Raises
    ------
    NoiseError: if there are fewer than 24 blocks.
    """
    if len(blocks.level) < MIN_BLOCKS:
        raise NoiseError(
            f"only {len(blocks.level)} blocks of the picture can be measured, and at least {MIN_BLOCKS} are needed"
        )
    least_read = max(step**2 / 12, 1e-12)
    prior = ReadPrior(least_read, masked_read_variance)
    (guess, samples, solution), (other, _, _) = (
        _settled(blocks, start, saturation, floor, least_read, prior) for start in _starts(blocks, prior)
    )
    level, shadows = samples.level_of_all, samples.level_of_shadows
    found = UncertainLine(guess.gain, guess.read, solution.data_covariance)
    line = found.with_expected_read(prior)
    return VarianceLine(
        gain=line.gain,
        read_variance=line.read,
        level=level,
        relative_error=UncertainLine(line.gain, line.read, solution.covariance).error_at(level),
        shadow_error=line.error_at(shadows),
        read_known=found.read_known,
        texture_share=solution.texture_share,
        flat_share=samples.flat_share,
        disagreement=max(abs(math.log(guess.at(signal) / other.at(signal))) for signal in (level, shadows)),
    )


@dataclass(frozen=True)
class _Guess:
    """Current parameters: the line and the two texture terms (squared contrast, ratio of fine to luma energy)."""

    gain: float
    read: float
    contrast: float = 0.0
    excess: float = 0.0

    def at(self, level: float) -> float:
        """Return the variance at a signal."""
        return self.gain * max(level, 0.0) + self.read


@dataclass(frozen=True, eq=False)
class _Samples:
    """Samples used in the fit under a guess.

    Attributes
    ----------
    level, variance : (k,) signal and variance, corrected for clipping. excess : (k,) texture energy of the luma bands.
    level_of_all : median level of the picture. level_of_shadows : its 5 % quantile.
    flat_share : share of the picture's blocks that are flat. relative_error : of the variance of a sample.
    """

    level: DoubleArray
    variance: DoubleArray
    excess: DoubleArray
    level_of_all: float
    level_of_shadows: float
    flat_share: float
    relative_error: float


@dataclass(frozen=True, eq=False)
class _Solution:
    guess: _Guess
    covariance: DoubleArray
    data_covariance: DoubleArray
    texture_share: float


def _starts(blocks: BlockStatistics, prior: ReadPrior) -> tuple[_Guess, _Guess]:
    """Return two starts of the fit: one from blocks that look like noise, and a low one for comparison."""
    gain, read = first_line(blocks)
    gain = max(gain, LEAST_SHOT * read, MIN_GAIN)
    low = max(float(np.quantile(blocks.energy / np.maximum(blocks.level, 0.003), 0.02)), MIN_GAIN)
    return _Guess(gain, prior.measured or max(read, prior.expected(gain))), _Guess(low, prior.expected(low))


def _settled(
    blocks: BlockStatistics,
    guess: _Guess,
    saturation: float,
    floor: float | None,
    least_read: float,
    prior: ReadPrior,
) -> tuple[_Guess, _Samples, _Solution]:
    """Alternate between selecting flat blocks and solving until the line changes by less than 0.1 %."""
    for _ in range(ROUNDS):
        samples = _select(blocks, guess, saturation, floor)
        solution = _solve(samples, guess, least_read, prior)
        level = samples.level_of_all
        before, guess = guess.at(level), solution.guess
        if abs(guess.at(level) - before) < 1e-3 * before:
            break
    return guess, samples, solution


def _select(blocks: BlockStatistics, guess: _Guess, saturation: float, floor: float | None) -> _Samples:
    """Return the planes of flat blocks that are not close to clipping at either end of the range."""
    levels, place = blocks.sorted_levels  # interpolation between them is ten times as fast in this order
    level, kept = (found.take(place) for found in unclipped(levels, guess.gain, guess.read, floor))
    noise = guess.gain * level + guess.read
    luma_noise = (noise * kept).sum(axis=1) / noise.shape[1] ** 2
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
        level_of_shadows=float(np.quantile(level, SHADOWS)),
        flat_share=float(flat.mean()),
        relative_error=math.sqrt(2 / blocks.count),
    )


def _solve(samples: _Samples, guess: _Guess, least_read: float, prior: ReadPrior) -> _Solution:
    """Solve weighted non-negative least squares with the priors as rows; samples far above the line are dropped."""
    model = guess.gain * samples.level + guess.read + guess.contrast * samples.level**2
    model += np.maximum(guess.excess * samples.excess, 0)
    sigma = samples.relative_error
    ratio = samples.variance / model
    use = ratio <= max(1 + 3 * sigma, 1.3 * float(np.quantile(ratio, 0.3)))
    level, excess = samples.level[use], samples.excess[use]
    columns = np.stack([level, np.ones_like(level), level**2, excess]) / (sigma * model[use])
    rows, targets = _priors(guess, prior, CONTRAST_SD * max(1 - samples.flat_share, LEAST_DOUBT))
    normal = columns @ columns.T + rows.T @ rows
    without_line = normal if prior.measured is not None else normal - np.outer(rows[0], rows[0])
    right = columns @ (samples.variance[use] / (sigma * model[use])) + rows.T @ targets
    values = WITH_SHOT @ non_negative(WITH_SHOT.T @ normal @ WITH_SHOT, WITH_SHOT.T @ right)
    read = max(float(values[1]), least_read)
    gain = float(values[0]) if values[0] > MIN_GAIN else guess.gain / 2
    solved = _Guess(
        gain=max(gain, LEAST_SHOT * read),
        read=read,
        contrast=float(values[2]),
        excess=float(values[3]),
    )
    texture = solved.contrast * level**2 + np.maximum(solved.excess * excess, 0)
    share = float(texture.sum() / (texture + solved.gain * level + solved.read).sum())
    return _Solution(solved, inverse(normal)[:2, :2], inverse(without_line)[:2, :2], share)


def _priors(guess: _Guess, prior: ReadPrior, contrast_sd: float) -> tuple[DoubleArray, DoubleArray]:
    """Return rows and targets of the priors: read variance near the expected one, both texture terms near zero."""
    line, target = prior.row(guess.gain, guess.read)
    rows = np.stack([[*line, 0, 0], [0, 0, 1 / contrast_sd, 0], [0, 0, 0, 1 / EXCESS_SD]])
    return rows, np.array([target, 0, 0])
