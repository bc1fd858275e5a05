"""Blind estimation of a photo's noise parameters from its own pixels.

The method follows Foi et al. 2008: measure the variance of smooth areas at several levels and fit a line. The
statistics (`blocks`) and the fit (`fit`) are our own. All planes share one line, because their gains differ by a few
per cent only, dark planes hold less texture for the same noise, and separate lines would fit fine grain instead. Where
the noise of the colours clearly differs, each gets its share of that line (`colours`).

If texture (such as fabric) fills the picture, no block is flat. Texture only adds variance, and rarely the same at two
scales; white noise is the same at both. So a second estimate is made at half scale and used where it is lower.

If the noise of neighbours is correlated (`correlation`), the energies of both scales are divided by the share of the
variance that their bands hold, and the half scale is used: smoothing leaves more in its bands, so an error of the share
weighs less. The result is the variance of a pixel, which is what a network needs (docs/accuracy.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rawkd.photo import DoubleArray, Mosaic
from rawkd.sensor.blind.blocks import block_statistics
from rawkd.sensor.blind.colours import noise_of_colours
from rawkd.sensor.blind.correlation import WHITE, Correlation, measure_correlation
from rawkd.sensor.blind.fit import MIN_BLOCKS, fit_line
from rawkd.sensor.blind.uncertain_line import VarianceLine
from rawkd.sensor.blind.vanishing import noise_vanishes_at
from rawkd.sensor.noise import NoiseModel

NUM_BLOCKS = 8192
"""Number of blocks to measure: 2 megapixels of mosaic."""
CORRELATED = 1.5
"""Ratio of the variances at half and full scale above which the noise counts as correlated in an unknown way."""
CORRELATED_CONFIDENCE = 0.75
"""Upper limit of the confidence for correlated noise: too low to raise a NoiseProfile (`choose_noise`)."""
PATTERNED = 0.8
"""Ratio of the variances at half and full scale below which the picture has a fine pattern; white noise has 1."""
DISAGREEMENT = 0.4
"""Log of the ratio of the two fitted lines (a factor of 1.5) that halves the confidence."""
MUCH_CUT_OFF, CUT_OFF_CONFIDENCE = 0.1, 0.75
"""Share of pixels at DN 0 above which cut-off noise makes the estimate uncertain, and the upper limit of its confidence
then: too low to raise a NoiseProfile."""
FLOOR_SIGMAS = 0.25
"""Standard deviations of the read noise within which DN 0 lies at black. Frames with a higher black level lose less
noise, for which `clipping` allows, and pixels at DN 0 may be dead areas."""
SKIPPED_ROWS = 7
"""Every so many rows are searched for pixels at DN 0: prime to the sides of all cells."""
SURE_FLAT_SHARE, SURE_ERROR = 0.04, 0.1
"""The estimate at half scale is used if its share of flat blocks is at least, and its relative error at most, this."""


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """Noise parameters estimated from pixels, and how reliable they are.

    Attributes
    ----------
    gain, read_variance : gain of every plane and mean read variance, signal units. They are upper bounds if the
        picture is all texture.
    confidence : 0..1; above 0.8 the variance is right within a factor of 1.3, except for rare pictures.
    level : median signal of the picture; estimates are compared at this level.
    relative_error : relative standard error of the variance at `level`.
    shadow_error : relative standard error of the variance at the 5 % quantile of the levels.
    read_known : whether the read variance was measured in masked pixels or dark areas; if not, it is the one expected
        at the gain.
    half_scale_ratio : variance at `level` at half scale over that at full scale, 1 for white noise; None if the
        estimate at half scale is unreliable or `correlation` explains the difference.
    read_of_planes : (classes,) read variance of the noise classes over their mean.
    noise_of_classes : (classes,) noise variance of the noise classes over this line; ones unless colours differ much.
    correlation : of the noise of neighbours in a plane; `WHITE` if it is not significant.
    cut_off : share of the pixels at DN 0, if that is black; else 0.
    vanishes_at : signal at which the noise would vanish, if that is clearly above black; else None.
    """

    gain: float
    read_variance: float
    confidence: float
    level: float
    relative_error: float
    shadow_error: float
    read_known: bool
    half_scale_ratio: float | None
    read_of_planes: DoubleArray = field(default_factory=lambda: np.ones(4))
    noise_of_classes: DoubleArray = field(default_factory=lambda: np.ones(4))
    correlation: Correlation = WHITE
    cut_off: float = 0.0
    vanishes_at: float | None = None

    @property
    def correlated(self) -> bool:
        """Whether the noise of neighbouring pixels is correlated, as after lossy compression or noise reduction."""
        return self.correlation.significant or (
            self.half_scale_ratio is not None and self.half_scale_ratio > CORRELATED
        )

    @property
    def colours_differ(self) -> bool:
        """Whether the noise of the colours follows lines of their own."""
        return bool((self.noise_of_classes != 1).any())

    def model(self, source: str) -> NoiseModel:
        """Return the noise model with these parameters."""
        gain, read_variance = self.gain * self.noise_of_classes, self.read_variance * self.noise_of_classes
        return NoiseModel(gain, read_variance * self.read_of_planes, source, self.confidence, self.neighbours)

    @property
    def neighbours(self) -> tuple[float, float] | None:
        """Correlation of neighbours, horizontal and vertical, as in `NoiseModel`; None for white noise.

        Nothing bounds the fit; 1 is the largest that a correlation can be.
        """
        found = self.correlation
        return (min(found.horizontal, 1.0), min(found.vertical, 1.0)) if found.significant else None


def estimate_noise(
    mosaic: Mosaic,
    *,
    saturation: float,
    floor: float | None = None,
    step: float = 0.0,
    masked_read_variance: DoubleArray | None = None,
) -> NoiseEstimate:
    """Estimate gain and read variance of a mosaic without knowing the camera.

    Parameters
    ----------
    mosaic : signal of any phase and size.
    saturation : signal at which the sensor clips.
    floor : signal of DN 0, at which the file clips shadows: -black / (white - black). None if nothing was clipped.
    step : signal of one DN; quantisation alone gives the read variance step^2 / 12.
    masked_read_variance : (classes,) read variance of the noise classes measured in masked pixels, or None. Their mean
        is the prior for the picture, and the classes of the result have the same ratios.

    Raises
    ------
    NoiseError: if fewer than 24 blocks of 16 x 16 pixels (X-Trans: 24 x 24) are neither saturated nor constant.
    """
    masked = None if masked_read_variance is None else float(masked_read_variance.mean())
    correlation = measure_correlation(mosaic, saturation=saturation, num_blocks=NUM_BLOCKS // 2)
    full, half = (correlation.shares(scale) for scale in (1, 2))
    blocks = block_statistics(mosaic, saturation=saturation, num_blocks=NUM_BLOCKS).over(*full)
    fit = partial(fit_line, saturation=saturation, floor=floor, step=step, masked_read_variance=masked)
    line = fit(blocks)
    halved = block_statistics(mosaic, saturation=saturation, num_blocks=NUM_BLOCKS // 4, scale=2).over(*half)
    ratio, confidence = None, _confidence(line)
    if len(halved.level) >= MIN_BLOCKS:
        coarse = fit(halved)
        if correlation.significant:
            line, confidence = coarse, min(_confidence(coarse), CORRELATED_CONFIDENCE)
        elif coarse.flat_share >= SURE_FLAT_SHARE and coarse.relative_error <= SURE_ERROR:
            ratio = coarse.at(line.level) / line.at(line.level)
            if (ratio > CORRELATED and line.flat_share < coarse.flat_share) or ratio < PATTERNED:
                line, confidence = coarse, _confidence(coarse) / 2
    cut_off = _share_cut_off(mosaic, line.read_variance, floor, step)
    if cut_off > MUCH_CUT_OFF:
        confidence = min(confidence, CUT_OFF_CONFIDENCE)
    return NoiseEstimate(
        gain=line.gain,
        read_variance=line.read_variance,
        confidence=confidence,
        level=line.level,
        relative_error=line.relative_error,
        shadow_error=line.shadow_error,
        read_known=line.read_known,
        half_scale_ratio=ratio,
        read_of_planes=np.ones(len(mosaic.pattern.classes))
        if masked_read_variance is None
        else masked_read_variance / masked_read_variance.mean(),
        noise_of_classes=noise_of_colours(blocks, mosaic.pattern, line.gain, line.read_variance, floor),
        correlation=correlation,
        cut_off=cut_off,
        vanishes_at=noise_vanishes_at(blocks, floor),
    )


def _share_cut_off(mosaic: Mosaic, read_variance: float, floor: float | None, step: float) -> float:
    """Return the share of pixels at the floor; 0 if the floor lies more than `FLOOR_SIGMAS` below black."""
    if floor is None or floor < -FLOOR_SIGMAS * np.sqrt(read_variance):
        return 0.0
    return float((mosaic.data[::SKIPPED_ROWS] <= floor + step / 2).mean())


def _confidence(line: VarianceLine) -> float:
    """Return the confidence, 0..1: high for flat blocks without texture, a small error and starts that agree.

    Our choice.
    """
    flat = line.flat_share / (line.flat_share + 0.03)
    same = 1 / (1 + (line.disagreement / DISAGREEMENT) ** 2)
    return float(flat * (1 - line.texture_share) * same / (1 + (line.relative_error / 0.1) ** 2))
