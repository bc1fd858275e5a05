"""Fit the variance line through photon transfer points.

Source: PMRID, Wang et al., ECCV 2020, section 3.1. The slope of variance over mean is the gain, the intercept is the
read variance. Weights and outlier handling are our choice.
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
class ClassPoints:
    """Photon transfer points of one noise class in all bursts.

    Attributes
    ----------
    level, variance : (m,) signal and squared signal. blur : (m,) error variance of the levels.
    dof, num_samples : (m,) degrees of freedom of each variance, and samples behind it. burst : (m,) index of the burst.
    offset_variance : (bursts,) error variance of the common level offset of each burst.
    """

    level: DoubleArray
    variance: DoubleArray
    blur: DoubleArray
    dof: DoubleArray
    num_samples: DoubleArray
    burst: NDArray[np.intp]
    offset_variance: DoubleArray

    @classmethod
    def of(cls, bursts: Sequence[TransferPoints], one: int) -> ClassPoints:
        """Collect the points of the noise class with index `one` from all bursts."""
        count = [len(points.level) for points in bursts]
        return cls(
            level=np.concatenate([points.level[:, one] for points in bursts]),
            variance=np.concatenate([points.variance[:, one] for points in bursts]),
            blur=np.concatenate([points.level_variance[:, one] for points in bursts]),
            dof=np.repeat([float(points.dof[one]) for points in bursts], count),
            num_samples=np.repeat([float(points.num_samples[one]) for points in bursts], count),
            burst=np.repeat(np.arange(len(bursts)), count),
            offset_variance=np.array([points.offset_variance[one] for points in bursts]),
        )

    def columns(self, gain: float) -> tuple[DoubleArray, DoubleArray]:
        """Return regressors of gain, read variance and offsets, (m, 2 + bursts), and their inverse prior variances."""
        offsets = np.where(self.burst[:, None] == np.arange(len(self.offset_variance)), -gain, 0.0)
        prior = np.concatenate([[0.0, 0.0], 1 / np.maximum(self.offset_variance, 1e-20)])
        return np.column_stack([self.level, np.ones_like(self.level), offsets]), prior


@dataclass(frozen=True, eq=False)
class TransferLine:
    """A fitted variance line.

    Attributes
    ----------
    gain, read : gain and read variance, signal units. covariance : (2, 2) of these.
    sigma : (m,) standard errors of the variances. keep : (m,) whether a point is used.
    chi_square : per degree of freedom.
    bend, bend_error : share of the shot noise at high levels that grows with the level squared, and its standard error.
    """

    gain: float
    read: float
    covariance: DoubleArray
    sigma: DoubleArray
    keep: NDArray[np.bool_]
    chi_square: float
    bend: float
    bend_error: float


def fit_transfer_line(points: ClassPoints) -> TransferLine:
    """Fit variance = gain * (level - offset) + read, weighted by the errors that the line itself predicts.

    A sample variance has the error variance sigma^4 * 2 / dof + kappa / n, where kappa = gain^3 * level is the fourth
    cumulant of shot noise. The error variance `blur` of a level adds gain^2 * blur. Every burst has one offset, with a
    prior around zero. The fit starts from a line through the medians of groups of levels and drops outliers.
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
    """Return slope and intercept of the weighted line, and their (2, 2) covariance."""
    values, covariance = weighted_fit(np.stack([x, np.ones_like(x)], axis=1), y, sigma)
    return (float(values[0]), float(values[1])), covariance


def weighted_fit(
    columns: DoubleArray, y: DoubleArray, sigma: DoubleArray, prior: DoubleArray | None = None
) -> tuple[DoubleArray, DoubleArray]:
    """Return the coefficients of the columns, (m, k), by weighted least squares, and their (k, k) covariance.

    Parameters
    ----------
    prior : (k,) inverse prior variances of the coefficients, whose prior mean is zero; None for no prior.
    """
    largest = np.abs(columns).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)
    rows = columns / scale / sigma[:, None]
    normal = rows.T @ rows
    if prior is not None:
        normal += np.diag(prior / scale**2)
    inverse = np.linalg.pinv(normal, hermitian=True)
    return inverse @ rows.T @ (y / sigma) / scale, inverse / np.outer(scale, scale)
