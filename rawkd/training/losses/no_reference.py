"""What BRISQUE and PIQE, two measures of how natural a picture looks, fix: window, table, shifts and thresholds.

Sources: BRISQUE, Mittal, Moorthy and Bovik, TIP 2012, with the table, half size and borders of its released features;
PIQE, Venkatanath et al., NCC 2015, with the thresholds of its released form. Both begin with MSCN coefficients: a
picture less its local mean, over its local deviation. Their hard tests and tables have no gradients; forms that have
are in `rawkd.training.losses.naturalness` and `rawkd.training.losses.blockiness`, and are tested against the
definitions.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from rawkd.photo import DoubleArray

WINDOW_PX, WINDOW_SIGMA_PX = 7, 7 / 6
SHIFTS = ((0, 1), (1, 0), (1, 1), (-1, 1))
"""Rows and columns by which MSCN coefficients are moved before they are multiplied by themselves."""
HALVING = (-3, -9, 29, 111, 111, 29, -9, -3)
"""Over 256: the cubic convolution (Keys, a = -1/2) that halves a picture, stretched against aliasing."""
ACTIVE, IMPAIRED, NOISY = 0.1, 0.1, 2.0
"""PIQE's thresholds: variance of a block, deviation of a segment, and how often the noise measure counts."""


class BlockMaps(NamedTuple):
    """PIQE's tests of blocks, (..., rows, columns) each; numpy or torch.

    Attributes
    ----------
    activity, impairment, noise : 0..1, the last two of active blocks only. variance : of the MSCN coefficients.
    """

    activity: Any
    impairment: Any
    noise: Any
    variance: Any


def gaussian_window() -> DoubleArray:
    """(7,) weights of the local mean along one axis; they sum to 1."""
    place = np.arange(WINDOW_PX) - WINDOW_PX // 2
    weights = np.exp(-(place**2) / (2 * WINDOW_SIGMA_PX**2))
    return np.asarray(weights / weights.sum())


@cache
def shape_table() -> tuple[DoubleArray, DoubleArray]:
    """Shapes a = 0.2, 0.201, ... 10 of generalised Gaussians and their E[|x|]^2 / E[x^2], which grows with a.

    The ratio is Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)): 1/2 of Laplace's (a = 1), 2/pi of Gauss's (a = 2).
    """
    shapes = np.arange(200, 10001) / 1000
    logs = [2 * math.lgamma(2 / a) - math.lgamma(1 / a) - math.lgamma(3 / a) for a in shapes]
    return shapes, np.exp(logs)
