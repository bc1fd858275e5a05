"""Constants of BRISQUE and PIQE, two no-reference measures of picture quality: window, shifts, table, thresholds.

Sources: BRISQUE, Mittal, Moorthy and Bovik, TIP 2012, with the table, half size and borders of its released features;
PIQE, Venkatanath et al., NCC 2015, with the thresholds of its released code. Both start from MSCN coefficients: the
picture minus its local mean, divided by its local standard deviation. Differentiable forms are in
`rawkd.training.losses.naturalness` and `rawkd.training.losses.blockiness`; tests compare them with the definitions.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from rawkd.photo import DoubleArray

WINDOW_PX, WINDOW_SIGMA_PX = 7, 7 / 6
SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))
"""Rows and columns by which MSCN coefficients are shifted; BRISQUE uses their products with the shifted ones."""
HALVING = (-3, -9, 29, 111, 111, 29, -9, -3)
"""Filter taps times 256 that halve a picture: cubic convolution (Keys, a = -1/2), widened against aliasing."""
ACTIVE, IMPAIRED, NOISY = 0.1, 0.1, 2.0
"""PIQE's thresholds: variance of a block, standard deviation of a segment, and factor of the noise measure."""


class BlockMaps(NamedTuple):
    """Results of PIQE's block tests, (..., rows, columns) each; numpy or torch.

    Attributes
    ----------
    activity, impairment, noise : 0..1; impairment and noise only for active blocks. variance : of MSCN coefficients.
    """

    activity: Any
    impairment: Any
    noise: Any
    variance: Any


def gaussian_window() -> DoubleArray:
    """Return the (7,) weights of the local mean along one axis; they sum to 1."""
    place = np.arange(WINDOW_PX) - WINDOW_PX // 2
    weights = np.exp(-(place**2) / (2 * WINDOW_SIGMA_PX**2))
    return np.asarray(weights / weights.sum())


@cache
def shape_table() -> tuple[DoubleArray, DoubleArray]:
    """Return shapes a = 0.2, 0.201, ... 10 of generalised Gaussians and their ratios E[|x|]^2 / E[x^2].

    The ratio is Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)) and grows with a: 1/2 for Laplace (a = 1), 2/pi for Gauss
    (a = 2).
    """
    shapes = np.arange(200, 10001) / 1000
    logs = [2 * math.lgamma(2 / a) - math.lgamma(1 / a) - math.lgamma(3 / a) for a in shapes]
    return shapes, np.exp(logs)
