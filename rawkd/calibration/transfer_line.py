"""The variance line through photon transfer points.

PMRID, Wang et al., ECCV 2020, section 3.1: the slope of variance over mean is the gain, the intercept is the read
variance. Weights and the treatment of outliers are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.calibration.transfer import TransferPoints
from rawkd.photo import DoubleArray

MIN_POINTS = 12
OUTLIER_SIGMAS = 4.0


@dataclass(frozen=True, eq=False)
class PlanePoints:
    """Points of one plane, (m,) each; burst is the number of theirs, offset_variance that of each burst's levels."""

    level: DoubleArray
    variance: DoubleArray
    blur: DoubleArray
    dof: DoubleArray
    num_samples: DoubleArray
    burst: NDArray[np.intp]
    offset_variance: DoubleArray

    @classmethod
    def of(cls, bursts: Sequence[TransferPoints], plane: int) -> PlanePoints:
        """Those of one plane, 0..3, in all bursts."""
        count = [len(points.level) for points in bursts]
        return cls(
            level=np.concatenate([points.level[:, plane] for points in bursts]),
            variance=np.concatenate([points.variance[:, plane] for points in bursts]),
            blur=np.concatenate([points.level_variance[:, plane] for points in bursts]),
            dof=np.repeat([float(points.dof) for points in bursts], count),
            num_samples=np.repeat([float(points.num_samples) for points in bursts], count),
            burst=np.repeat(np.arange(len(bursts)), count),
            offset_variance=np.array([points.offset_variance for points in bursts]),
        )

    def columns(self, gain: float) -> tuple[DoubleArray, DoubleArray]:
        """(m, 2 + bursts) columns of gain, read variance and offsets, and the reciprocals of their prior variances."""
        offsets = np.where(self.burst[:, None] == np.arange(len(self.offset_variance)), -gain, 0.0)
        prior = np.concatenate([[0.0, 0.0], 1 / np.maximum(self.offset_variance, 1e-20)])
        return np.column_stack([self.level, np.ones_like(self.level), offsets]), prior


@dataclass(frozen=True, eq=False)
class TransferLine:
    """A line through the points `keep`; bend is the part of the shot noise that grows with the level squared."""

    gain: float
    read: float
    covariance: DoubleArray
    sigma: DoubleArray
    keep: NDArray[np.bool_]
    chi_square: float
    bend: float
    bend_error: float


def fit_transfer_line(points: PlanePoints) -> TransferLine:
    """Variance = gain * (level - offset) + read, weighted by the errors that the line itself predicts.

    A sample variance has the variance sigma^4 * 2 / dof + kappa / n; the fourth cumulant kappa of the shot noise is
    gain^3 * level; `blur`, the error of the levels, adds gain^2 times its own. The offset is one of each burst, near
    zero as its own error allows. Outliers are left out; the start is a line through the medians of groups of levels.
    """
    level, variance = points.level, points.variance
    order = np.argsort(level)
    groups = np.array_split(order, min(16, len(order)))
    medians = np.array([(np.median(level[group]), np.median(variance[group])) for group in groups])
    (gain, read), _ = fit_straight(medians[:, 0], medians[:, 1], np.maximum(medians[:, 1], 1e-14))
    model = gain * level + read
    keep = np.ones(len(level), bool)
    for _ in range(12):
        model = np.maximum(model, 0.2 * np.quantile(variance, 0.01) + 1e-14)
        cumulant = max(gain, 0) ** 3 * np.maximum(level, 0)
        sigma = np.sqrt(2 / points.dof * model**2 + cumulant / points.num_samples + gain**2 * points.blur)
        before, keep = keep, np.abs(variance - model) < OUTLIER_SIGMAS * sigma
        if keep.sum() < MIN_POINTS:
            keep = np.abs(variance - model) <= np.quantile(np.abs(variance - model), 0.5)
        columns, prior = points.columns(gain)
        values, covariance = weighted_fit(columns[keep], variance[keep], sigma[keep], prior)
        (gain, read), model = values[:2], columns @ values
        if (keep == before).all():
            break
    high = float(np.quantile(level[keep], 0.95))
    curve, errors = weighted_fit(
        np.column_stack([columns, level**2])[keep], variance[keep], sigma[keep], np.append(prior, 0.0)
    )
    to_share = high / max(float(curve[0] + curve[-1] * high), 1e-12)
    return TransferLine(
        gain=float(gain),
        read=float(read),
        covariance=covariance[:2, :2],
        sigma=sigma,
        keep=keep,
        chi_square=float((((variance - model) / sigma)[keep] ** 2).sum() / max(keep.sum() - 2, 1)),
        bend=float(curve[-1]) * to_share,
        bend_error=float(np.sqrt(errors[-1, -1])) * to_share,
    )


def fit_straight(x: DoubleArray, y: DoubleArray, sigma: DoubleArray) -> tuple[tuple[float, float], DoubleArray]:
    """Slope and intercept of the weighted line, and their covariance."""
    values, covariance = weighted_fit(np.stack([x, np.ones_like(x)], axis=1), y, sigma)
    return (float(values[0]), float(values[1])), covariance


def weighted_fit(
    columns: DoubleArray, y: DoubleArray, sigma: DoubleArray, prior: DoubleArray | None = None
) -> tuple[DoubleArray, DoubleArray]:
    """Coefficients of the columns, (m, k), by weighted least squares, and their (k, k) covariance.

    prior : (k,) reciprocals of the variances by which the coefficients are expected to differ from zero, or None.
    """
    largest = np.abs(columns).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)
    rows = columns / scale / sigma[:, None]
    normal = rows.T @ rows
    if prior is not None:
        normal += np.diag(prior / scale**2)
    inverse = np.linalg.pinv(normal, hermitian=True)
    return inverse @ rows.T @ (y / sigma) / scale, inverse / np.outer(scale, scale)
