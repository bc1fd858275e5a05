"""The part of a recipe that controls synthetic noise."""

from __future__ import annotations

from dataclasses import dataclass

AWGN = "awgn"
"""Noise model of finished pictures: additive white Gaussian noise."""


@dataclass(frozen=True)
class NoiseRecipe:
    """Settings of the synthetic noise.

    Attributes
    ----------
    model : "poisson-gaussian"; "eld" (also heavy tails, row noise and colour bias); "awgn" (additive white Gaussian
        noise on finished pictures, neither clipped nor rounded; the other fields do not apply).
    gain_error, read_error : standard deviation, in log, of the simulated errors of the noise estimate.
    near_clean : fraction of crops whose gain is up to 100 times below the subrange.
    smoothed : fraction of crops with smoothed noise, as after lossy compression.
    wrong_samples : fraction of crops with hot and dead pixels (`data.wrong_samples`).
    hottest : height of the brightest hot pixels, noise standard deviations.
    """

    model: str = "poisson-gaussian"
    gain_error: float = 0.12
    read_error: float = 0.4
    near_clean: float = 0.03
    smoothed: float = 0.0
    wrong_samples: float = 0.0
    hottest: float = 50.0
