"""How a recipe's noise is synthesised."""

from __future__ import annotations

from dataclasses import dataclass

AWGN = "awgn"
"""The noise model of finished pictures: additive, white, Gaussian."""


@dataclass(frozen=True)
class NoiseRecipe:
    """How noise is synthesised.

    Attributes
    ----------
    model : "poisson-gaussian"; "eld" (heavy tails, row noise and colour bias besides); "awgn" (additive white Gaussian
        noise on finished pictures, neither clipped nor rounded, of which nothing below says anything).
    gain_error, read_error : spread in log of the parameters told to the network, as an estimator errs.
    near_clean : share of crops whose gain lies up to a factor 100 below the subrange. smoothed : share with smoothed
        noise, as lossy compression leaves it. wrong_samples : share with hot and cold samples (`data.wrong_samples`).
    """

    model: str = "poisson-gaussian"
    gain_error: float = 0.12
    read_error: float = 0.4
    near_clean: float = 0.03
    smoothed: float = 0.0
    wrong_samples: float = 0.0
