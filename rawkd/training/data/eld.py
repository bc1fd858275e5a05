"""Noise of extreme low light that is not Poisson-Gaussian: heavy tails, row noise and colour bias of five cameras.

Source: ELD, Wei et al., CVPR 2020 / TPAMI 2021, with the parameters released with its code (Vandermode/ELD, MIT). Units
are DN of a 14-bit raw file; K is DN per photo-electron; the logs of the noise scales are linear in log K.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SATURATION_DN = 16383 - 800
TAIL_SHAPES = (-0.24, 0.20)
COLOR_BIAS_DN = 0.5
"""Standard deviation of the colour bias in units of the row noise. Our choice: the released tables list the bias per
camera and gain."""

# camera: ((slope, bias, spread) of log read-noise scale, (slope, bias, spread) of log row-noise scale)
CAMERAS = {
    "CanonEOS5D4": ((0.677, 1.512, 0.246), (0.471, -0.808, 0.244)),
    "CanonEOS700D": ((0.652, 2.080, 0.258), (0.622, -0.776, 0.248)),
    "CanonEOS70D": ((0.568, 1.998, 0.249), (0.729, -0.937, 0.250)),
    "NikonD850": ((0.563, 0.799, 0.214), (0.448, -1.798, 0.232)),
    "SonyA7S2": ((0.541, 1.218, 0.268), (0.528, -0.592, 0.294)),
}


@dataclass(frozen=True)
class Extremes:
    """Noise other than shot noise at one gain, signal units.

    Attributes
    ----------
    read_variance, row_variance : of the read noise and of the offset of a row. tail : Tukey-lambda shape of the read
        noise. color_bias : offsets of the planes R, Gr, Gb, B.
    """

    read_variance: float
    row_variance: float
    tail: float
    color_bias: tuple[float, float, float, float]


def draw_extremes(rng: np.random.Generator, gain: float) -> Extremes:
    """Return the read, row and colour noise of a random camera at `gain` (signal units)."""
    read, row = CAMERAS[sorted(CAMERAS)[rng.integers(len(CAMERAS))]]
    log_k = np.log(gain * SATURATION_DN)
    scales = [np.exp(slope * log_k + bias + spread * rng.standard_normal()) for slope, bias, spread in (read, row)]
    bias = COLOR_BIAS_DN * scales[1] * rng.standard_normal(4) / SATURATION_DN
    return Extremes(
        read_variance=float((scales[0] / SATURATION_DN) ** 2),
        row_variance=float((scales[1] / SATURATION_DN) ** 2),
        tail=float(rng.uniform(*TAIL_SHAPES)),
        color_bias=tuple(float(value) for value in bias),  # type: ignore[arg-type]
    )
