"""Solve least squares with few unknowns from normal equations, also if their units differ by many powers of ten.

`scipy.optimize.nnls` finds the same solutions (tests/test_estimate.py compares them). We do not use it because
importing `scipy.optimize` takes longer than the whole noise estimate of a photo.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rawkd.photo import DoubleArray

RIDGE = 1e-14
"""Added to the scaled normal matrix's diagonal, which is 1, so that unknowns without data can be solved for."""

ROUNDING = 1e-13
"""Gradient, relative to the right-hand side, that counts as zero."""


def non_negative(normal: DoubleArray, right: DoubleArray) -> DoubleArray:
    """Return the x >= 0 that minimises x.normal.x / 2 - right.x.

    Tries every subset of unknowns as the positive ones and sets the others to 0, until the solution is optimal.

    Parameters
    ----------
    normal : (n, n); n must be small because up to 2^n subsets are tried. Where its diagonal is 0, no data depend on the
        unknown, and x is 0. right : (n,).
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
    """Return the inverse of a normal matrix: the covariance of the solution; huge for unknowns without data."""
    matrix, scale = _scaled(normal)
    return np.asarray(np.linalg.inv(matrix) * np.outer(scale, scale))


def _scaled(normal: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Return the matrix scaled so that its diagonal is 1 (plus `RIDGE`), and the scale of each unknown."""
    diagonal = np.diag(normal)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    return normal * np.outer(scale, scale) + RIDGE * np.eye(len(normal)), scale
