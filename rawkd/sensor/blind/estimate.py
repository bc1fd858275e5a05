"""Blind estimation of a photo's noise parameters from its own pixels.

A descendant of the estimators of Foi et al. 2008 (level sets of smooth areas and a fit of the variance line) with our
own statistics (`blocks`) and fit (`fit`). All planes share one line: their gains differ by a few per cent, dark planes
hold less texture for the same noise, and a line of its own for each colour cannot be told from fine grain. A weave
that fills the picture has no flat block; but texture only adds variance, and seldom the same at two scales, while noise
is white: so what the picture says at half scale is followed where it is less.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rawkd.photo import DoubleArray, Mosaic
from rawkd.sensor.blind.blocks import block_statistics
from rawkd.sensor.blind.fit import MIN_BLOCKS, fit_line
from rawkd.sensor.blind.uncertain_line import VarianceLine
from rawkd.sensor.noise import NoiseModel

NUM_BLOCKS = 8192
"""Blocks looked at; 2 Mpx of mosaic."""
CORRELATED = 1.5
"""Variance at half scale over that at full scale from which the noise counts as correlated."""
PATTERNED = 0.8
"""Variance at half scale over that at full scale below which a fine pattern counts as found: noise has about 1."""
DISAGREEMENT = 0.4
"""Log of the ratio of two lines, a factor of 1.5, that halves the confidence."""
SURE_FLAT_SHARE, SURE_ERROR = 0.04, 0.1
"""Least flat share and largest relative error of a second estimate that is believed."""


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """What the pixels say about their noise.

    Attributes
    ----------
    gain, read_variance : gain of every plane, mean read variance, signal units; an upper bound where the picture is all
        texture.
    confidence : 0..1; above 0.8 the variance is right within a factor of 1.3 but for rare pictures.
    level : median signal of the picture, where estimates are compared.
    relative_error : standard error of the variance at `level`, relative.
    shadow_error : the same at the level below which 5 % of the picture lie.
    read_known : whether masked pixels or dark areas tell the read variance; else it is the one to expect at the gain.
    half_scale_ratio : variance at `level` found at half scale over that at full scale, 1 for white noise; None where
        the second estimate is not to be believed.
    read_of_planes : (4,) read variance of R, Gr, Gb, B over their mean.
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

    @property
    def correlated(self) -> bool:
        """Whether neighbouring samples share their noise: lossy compression or noise reduction before us."""
        return self.half_scale_ratio is not None and self.half_scale_ratio > CORRELATED

    def model(self, source: str) -> NoiseModel:
        """The noise model of these parameters."""
        return NoiseModel(np.array(self.gain), self.read_variance * self.read_of_planes, source, self.confidence)


def estimate_noise(
    mosaic: Mosaic,
    *,
    saturation: float,
    floor: float | None = None,
    step: float = 0.0,
    masked_read_variance: DoubleArray | None = None,
) -> NoiseEstimate:
    """Gain and read variance of a mosaic, without any knowledge of the camera.

    Parameters
    ----------
    mosaic : signal of any phase and size.
    saturation : signal at which the sensor clips.
    floor : signal of DN 0, where the file clips shadows: -black / (white - black). None if nothing was clipped.
    step : signal of one DN; quantisation alone gives the read variance step^2 / 12.
    masked_read_variance : (4,) read variance of R, Gr, Gb, B where masked pixels show it; their mean is then expected
        of the picture, and the planes differ as they do.

    Raises
    ------
    NoiseError: if fewer than 24 blocks of 16 x 16 pixels are neither saturated nor constant.
    """
    masked = None if masked_read_variance is None else float(masked_read_variance.mean())
    blocks = block_statistics(mosaic, saturation=saturation, num_blocks=NUM_BLOCKS)
    fit = partial(fit_line, saturation=saturation, floor=floor, step=step, masked_read_variance=masked)
    line = fit(blocks)
    halved = block_statistics(mosaic, saturation=saturation, num_blocks=NUM_BLOCKS // 4, scale=2)
    ratio, confidence = None, _confidence(line)
    if len(halved.level) >= MIN_BLOCKS:
        coarse = fit(halved)
        if coarse.flat_share >= SURE_FLAT_SHARE and coarse.relative_error <= SURE_ERROR:
            ratio = coarse.at(line.level) / line.at(line.level)
            if (ratio > CORRELATED and line.flat_share < coarse.flat_share) or ratio < PATTERNED:
                line, confidence = coarse, _confidence(coarse) / 2
    return NoiseEstimate(
        gain=line.gain,
        read_variance=line.read_variance,
        confidence=confidence,
        level=line.level,
        relative_error=line.relative_error,
        shadow_error=line.shadow_error,
        read_known=line.read_known,
        half_scale_ratio=ratio,
        read_of_planes=np.ones(4)
        if masked_read_variance is None
        else masked_read_variance / masked_read_variance.mean(),
    )


def _confidence(line: VarianceLine) -> float:
    """High where blocks are flat and free of texture, the error is small and both starts agree; our choice."""
    flat = line.flat_share / (line.flat_share + 0.03)
    same = 1 / (1 + (line.disagreement / DISAGREEMENT) ** 2)
    return float(flat * (1 - line.texture_share) * same / (1 + (line.relative_error / 0.1) ** 2))
