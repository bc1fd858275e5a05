"""From photon transfer points to a camera's profile: variance lines, and how gain and read variance follow the ISO.

PMRID, Wang et al., ECCV 2020, section 3.1 and eq. 1-6: the slope of variance over mean is the gain, linear in the ISO;
the intercept is the read variance, quadratic in it. Weights and the treatment of outliers are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import NoiseError
from rawkd.photo import DoubleArray
from rawkd.sensor.transfer import TransferPoints

MIN_POINTS = 12
OUTLIER_SIGMAS = 4.0
LEAST_KEPT = 0.6
"""Part of the blocks that must lie on the line; of a scene that moves fewer do."""
LARGEST_GAIN_ERROR = 0.1
GAIN_IMPERFECTION, READ_IMPERFECTION = 0.01, 0.03
"""Relative differences of a camera from the laws in ISO, on top of the errors of the points."""
ODD_GAIN, ODD_SIGMAS = 0.1, 4.0
"""Relative difference and standard errors by which the gain of a mislabelled ISO misses the law of the others."""


@dataclass(frozen=True, eq=False)
class IsoNoise:
    """Noise at one ISO.

    Attributes
    ----------
    gain, read_variance : (4,) of R, Gr, Gb, B. gain_error, read_error : (4,) standard errors.
    chi_square : of the blocks in use about their lines, over the degrees of freedom; 1 where the lines explain all.
    level, variance, sigma : (m,) of the green blocks in use. num_frames, row_variance, clipped_share : see
        TransferPoints. kept_share : part of the unclipped blocks that is in use.
    """

    iso: float
    gain: DoubleArray
    read_variance: DoubleArray
    gain_error: DoubleArray
    read_error: DoubleArray
    chi_square: float
    level: DoubleArray
    variance: DoubleArray
    sigma: DoubleArray
    num_frames: int
    row_variance: float
    clipped_share: float
    kept_share: float


@dataclass(frozen=True, eq=False)
class _Line:
    gain: float
    read: float
    covariance: DoubleArray
    sigma: DoubleArray
    keep: NDArray[np.bool_]
    chi_square: float


def noise_of_iso(iso: float, bursts: Sequence[TransferPoints]) -> IsoNoise:
    """The variance lines of all bursts of an ISO.

    Raises
    ------
    NoiseError: if too little is unclipped, the scene moved, or the levels do not tell gain and read variance apart.
    """
    count = sum(len(points.level) for points in bursts)
    clipped = float(np.mean([points.clipped_share for points in bursts]))
    if count < MIN_POINTS:
        raise NoiseError(
            f"ISO {iso:g}: only {count} blocks are neither over- nor underexposed (clipped: {clipped:.0%}); take frames"
            " with less or more light"
        )
    level = np.concatenate([points.level for points in bursts])
    variance = np.concatenate([points.variance for points in bursts])
    dof = np.concatenate([np.full(len(points.level), points.dof) for points in bursts])
    num_samples = np.concatenate([np.full(len(points.level), points.num_samples) for points in bursts])
    lines = [_fit_line(level[:, plane], variance[:, plane], dof, num_samples) for plane in range(4)]
    kept = float(np.mean([line.keep.mean() for line in lines]))
    if kept < LEAST_KEPT:
        raise NoiseError(
            f"ISO {iso:g}: only {kept:.0%} of the blocks lie on one line: the scene or the camera moved, or the frames"
            " are not of one ISO; use a tripod and a still scene"
        )
    errors = np.array([np.sqrt(np.diag(line.covariance)) for line in lines])
    gain = np.array([line.gain for line in lines])
    green = slice(1, 3)
    if not (gain > 0).all() or (errors[green, 0] > LARGEST_GAIN_ERROR * gain[green]).any():
        low, high = np.quantile(level, [0.02, 0.98])
        raise NoiseError(
            f"ISO {iso:g}: the levels {low:.3f} to {high:.3f} of white do not tell gain and read variance apart; add"
            " frames of other exposures, or dark ones with the cap on"
        )
    weights = np.array([points.num_frames * len(points.level) for points in bursts], np.float64)
    return IsoNoise(
        iso=iso,
        gain=gain,
        read_variance=np.array([line.read for line in lines]),
        gain_error=errors[:, 0],
        read_error=errors[:, 1],
        chi_square=float(np.mean([line.chi_square for line in lines])),
        level=np.concatenate([level[lines[plane].keep, plane] for plane in (1, 2)]),
        variance=np.concatenate([variance[lines[plane].keep, plane] for plane in (1, 2)]),
        sigma=np.concatenate([lines[plane].sigma[lines[plane].keep] for plane in (1, 2)]),
        num_frames=sum(points.num_frames for points in bursts),
        row_variance=float(np.average([points.row_variance for points in bursts], weights=weights)),
        clipped_share=clipped,
        kept_share=kept,
    )


def _fit_line(level: DoubleArray, variance: DoubleArray, dof: NDArray[np.int_], num_samples: NDArray[np.int_]) -> _Line:
    """Variance = gain * level + read, weighted by the errors that the line itself predicts, outliers left out.

    A sample variance has the variance sigma^4 * 2 / dof + kappa / n; the fourth cumulant kappa of the shot noise is
    gain^3 * level. The start is a line through the medians of groups of levels.
    """
    order = np.argsort(level)
    groups = np.array_split(order, min(16, len(order)))
    medians = np.array([(level[group].mean(), np.median(variance[group])) for group in groups])
    gain, read = _least_squares(medians[:, 0], medians[:, 1], np.maximum(medians[:, 1], 1e-14))[0]
    keep = np.ones(len(level), bool)
    for _ in range(12):
        model = np.maximum(gain * level + read, 0.2 * np.quantile(variance, 0.01) + 1e-14)
        cumulant = max(gain, 0) ** 3 * np.maximum(level, 0)
        sigma = np.sqrt(2 / dof * model**2 + cumulant / num_samples)
        before, keep = keep, np.abs(variance - model) < OUTLIER_SIGMAS * sigma
        if keep.sum() < MIN_POINTS:
            keep = np.abs(variance - model) <= np.quantile(np.abs(variance - model), 0.5)
        (gain, read), covariance = _least_squares(level[keep], variance[keep], sigma[keep])
        if (keep == before).all():
            break
    left = (variance - gain * level - read)[keep] / sigma[keep]
    return _Line(gain, read, covariance, sigma, keep, float((left**2).sum() / max(keep.sum() - 2, 1)))


def _least_squares(x: DoubleArray, y: DoubleArray, sigma: DoubleArray) -> tuple[tuple[float, float], DoubleArray]:
    """Slope and intercept of the weighted line, and their covariance."""
    values, covariance = _weighted(np.stack([x, np.ones_like(x)], axis=1), y, sigma)
    return (float(values[0]), float(values[1])), covariance


def _weighted(columns: DoubleArray, y: DoubleArray, sigma: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Coefficients of the columns, (m, k), by weighted least squares, and their (k, k) covariance."""
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    rows = columns / scale / sigma[:, None]
    inverse = np.linalg.pinv(rows.T @ rows)
    return inverse @ rows.T @ (y / sigma) / scale, inverse / np.outer(scale, scale)


def odd_iso(measured: Sequence[IsoNoise]) -> tuple[float, str] | None:
    """The ISO whose green gain misses the line through the others most, and what it looks like; needs four ISOs."""
    if len(measured) < 4:
        return None
    found: tuple[float, float, str] | None = None
    for one in measured:
        others = [other for other in measured if other is not one]
        (slope, offset), _ = gain_law(others, (1, 2))
        rest = max(abs(_green(other) / (slope * other.iso + offset) - 1) for other in others)
        miss = _green(one) / (slope * one.iso + offset) - 1
        error = float(np.hypot(one.gain_error[1], one.gain_error[2]) / 2 / _green(one))
        if abs(miss) > max(ODD_GAIN, ODD_SIGMAS * error, 3 * rest) and (found is None or abs(miss) > found[0]):
            likely = (_green(one) - offset) / slope
            told = (
                f"its gain is that of ISO {likely:.0f}: the frames are labelled with another ISO than theirs"
            )
            found = abs(miss), one.iso, told
    return None if found is None else found[1:]


def _green(noise: IsoNoise) -> float:
    return float(noise.gain[1:3].mean())


def gain_law(measured: Sequence[IsoNoise], planes: tuple[int, ...]) -> tuple[tuple[float, float], DoubleArray]:
    """Gain = g1 * ISO + g0 of some planes together, and the covariance; of a single ISO g0 is 0."""
    iso = np.array([one.iso for one in measured for _ in planes])
    gain = np.array([one.gain[plane] for one in measured for plane in planes])
    error = np.array([one.gain_error[plane] for one in measured for plane in planes])
    sigma = np.hypot(error, GAIN_IMPERFECTION * gain)
    if len(measured) == 1:
        (slope,), covariance = _weighted(iso[:, None], gain, sigma)
        return (float(slope), 0.0), np.pad(covariance, (0, 1))
    return _least_squares(iso, gain, sigma)


def read_law(measured: Sequence[IsoNoise], plane: int) -> DoubleArray:
    """Read variance = r2 * ISO^2 + r1 * ISO + r0, (3,) of a plane; not negative between the lowest and highest ISO.

    r1 is zero with fewer than three ISOs, or where the full law would be negative; of a single ISO r2 alone is left.
    """
    iso = np.array([one.iso for one in measured])
    read = np.array([one.read_variance[plane] for one in measured])
    error = np.array([one.read_error[plane] for one in measured])
    sigma = np.maximum(np.hypot(error, READ_IMPERFECTION * read), 1e-16)
    if len(measured) == 1:
        return np.array([max(read[0], 0) / iso[0] ** 2, 0, 0])
    columns = np.stack([iso**2, iso, np.ones_like(iso)], axis=1)
    if len(measured) > 2:
        law, _ = _weighted(columns, read, sigma)
        grid = np.geomspace(iso.min(), iso.max(), 200)
        if (np.stack([grid**2, grid, np.ones_like(grid)], axis=1) @ law >= 0).all():
            return law
    from scipy.optimize import nnls

    scale = columns.max(axis=0)[[0, 2]]
    values, _ = nnls(columns[:, [0, 2]] / scale / sigma[:, None], read / sigma)
    return np.array([values[0] / scale[0], 0, values[1] / scale[1]])
