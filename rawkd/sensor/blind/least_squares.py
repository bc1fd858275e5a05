"""Least squares of a few unknowns from their normal equations, whose units may lie far apart.

`scipy.optimize.nnls` finds the same solutions (tests/test_estimate.py compares them). We do without it, since loading
`scipy.optimize` takes longer than the whole estimate of a photo's noise.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rawkd.photo import DoubleArray

RIDGE = 1e-14
"""Added to the diagonal of the normal matrix in units of itself, so that unknowns without data can be solved for."""

ROUNDING = 1e-13
"""Slope, relative to the right side, that counts as none."""


def non_negative(normal: DoubleArray, right: DoubleArray) -> DoubleArray:
    """The x >= 0 with the least x.normal.x / 2 - right.x: that of all subsets of unknowns whose others had better be 0.

    Parameters
    ----------
    normal : (n, n), positive diagonal; n is small, since all 2^n subsets may be tried. right : (n,).
    """
    matrix, scale = _scaled(normal)
    target = right * scale
    best, violation = np.zeros(len(target)), float(max(target.max(), 0))
    for size in range(len(target), 0, -1):
        for free in map(list, combinations(range(len(target)), size)):
            values = np.linalg.solve(matrix[np.ix_(free, free)], target[free])
            if (values < 0).any():
                continue
            solution = np.zeros(len(target))
            solution[free] = values
            uphill = float(max((target - matrix @ solution).max(), 0))
            if uphill < violation:
                best, violation = solution, uphill
        if violation < ROUNDING * np.abs(target).max():
            break
    return np.asarray(best * scale)


def inverse(normal: DoubleArray) -> DoubleArray:
    """Inverse of a normal matrix with a positive diagonal: the covariance of the solution."""
    matrix, scale = _scaled(normal)
    return np.asarray(np.linalg.inv(matrix) * np.outer(scale, scale))


def _scaled(normal: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """The matrix in units in which its diagonal is 1, and the units."""
    scale = 1 / np.sqrt(np.diag(normal))
    return normal * np.outer(scale, scale) + RIDGE * np.eye(len(normal)), scale
