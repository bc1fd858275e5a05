"""Least squares of a few unknowns from their normal equations, whose units may lie far apart.

`scipy.optimize.nnls` finds the same solutions (tests/test_estimate.py compares them). We do without it, since loading
`scipy.optimize` takes longer than the whole estimate of a photo's noise.
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import DoubleArray

RIDGE = 1e-12
"""Added to the diagonal of the normal matrix in units of itself, so that unknowns without data can be solved for."""


def non_negative(normal: DoubleArray, right: DoubleArray) -> DoubleArray:
    """The x >= 0 with the least x.normal.x / 2 - right.x: the best of the free solutions over all subsets.

    Parameters
    ----------
    normal : (n, n), positive diagonal; n is small, since all 2^n subsets are tried. right : (n,).
    """
    matrix, scale = _scaled(normal)
    target = right * scale
    best, least = np.zeros(len(target)), 0.0
    for subset in range(1, 2 ** len(target)):
        free = np.flatnonzero([subset >> bit & 1 for bit in range(len(target))])
        values = np.linalg.solve(matrix[np.ix_(free, free)], target[free])
        cost = -float(target[free] @ values) / 2
        if cost < least and (values >= 0).all():
            best, least = np.zeros(len(target)), cost
            best[free] = values
    return best * scale


def inverse(normal: DoubleArray) -> DoubleArray:
    """Inverse of a normal matrix with a positive diagonal: the covariance of the solution."""
    matrix, scale = _scaled(normal)
    return np.asarray(np.linalg.inv(matrix) * np.outer(scale, scale))


def _scaled(normal: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """The matrix in units in which its diagonal is 1, and the units."""
    scale = 1 / np.sqrt(np.diag(normal))
    return normal * np.outer(scale, scale) + RIDGE * np.eye(len(normal)), scale
