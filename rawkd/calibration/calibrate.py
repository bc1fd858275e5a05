"""From photon transfer points to a camera's profile: variance lines, and how gain and read variance follow the ISO.

PMRID, Wang et al., ECCV 2020, section 3.1 and eq. 1-6: the gain is linear in the ISO, the read variance quadratic.
Weights and the treatment of outliers are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rawkd.calibration.transfer import TransferPoints
from rawkd.calibration.transfer_line import (
    MIN_POINTS,
    OUTLIER_SIGMAS,
    PlanePoints,
    fit_straight,
    fit_transfer_line,
    weighted_fit,
)
from rawkd.errors import NoiseError
from rawkd.photo import DoubleArray
from rawkd.sensor.profile import CameraProfile

LEAST_KEPT = 0.6
"""Part of the blocks that must lie on the line; of a scene that moves fewer do."""
LARGEST_BEND = 0.08
"""Part of the shot noise at high levels that may grow with the level squared, as the texture of a moving scene does."""
LARGEST_GAIN_ERROR = 0.1
GAIN_IMPERFECTION, READ_IMPERFECTION = 0.01, 0.03
"""Relative differences of a camera from the laws in ISO, on top of the errors of the points."""
READ_MISS = 0.25
"""Relative difference of a read variance from the law from which a warning is given (dual gain sensors do that)."""
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
    planes = [PlanePoints.of(bursts, plane) for plane in range(4)]
    lines = [fit_transfer_line(points) for points in planes]
    kept = float(np.mean([line.keep.mean() for line in lines]))
    bend = float(np.mean([line.bend for line in lines]))
    bend_error = float(np.sqrt(np.mean([line.bend_error**2 for line in lines]) / len(lines)))
    if kept < LEAST_KEPT or bend > max(LARGEST_BEND, OUTLIER_SIGMAS * bend_error):
        raise NoiseError(
            f"ISO {iso:g}: the variances do not lie on one line ({kept:.0%} of the blocks do, and the line bends up by"
            f" {max(bend, 0):.0%}): the scene or the camera moved, or the frames are not of one ISO; use a tripod and"
            " a still scene"
        )
    errors = np.array([np.sqrt(np.diag(line.covariance)) for line in lines])
    gain = np.array([line.gain for line in lines])
    green = slice(1, 3)
    if not (gain > 0).all() or (errors[green, 0] > LARGEST_GAIN_ERROR * gain[green]).any():
        low, high = np.quantile(planes[1].level, [0.02, 0.98])
        raise NoiseError(
            f"ISO {iso:g}: the levels {low:.3f} to {high:.3f} of white do not tell gain and read variance apart; add"
            " frames of other exposures, or dark ones with the cap on"
        )
    weights = np.array([points.row_weight for points in bursts])
    return IsoNoise(
        iso=iso,
        gain=gain,
        read_variance=np.array([line.read for line in lines]),
        gain_error=errors[:, 0],
        read_error=errors[:, 1],
        chi_square=float(np.mean([line.chi_square for line in lines])),
        level=np.concatenate([planes[plane].level[lines[plane].keep] for plane in (1, 2)]),
        variance=np.concatenate([planes[plane].variance[lines[plane].keep] for plane in (1, 2)]),
        sigma=np.concatenate([lines[plane].sigma[lines[plane].keep] for plane in (1, 2)]),
        num_frames=sum(points.num_frames for points in bursts),
        row_variance=float(np.average([points.row_variance for points in bursts], weights=weights)),
        clipped_share=clipped,
        kept_share=kept,
    )


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
            message = f"its gain is that of ISO {likely:.0f}: the frames are labelled with another ISO than theirs"
            found = abs(miss), one.iso, message
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
        (slope,), covariance = weighted_fit(iso[:, None], gain, sigma)
        return (float(slope), 0.0), np.pad(covariance, (0, 1))
    return fit_straight(iso, gain, sigma)


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
        law, _ = weighted_fit(columns, read, sigma)
        grid = np.geomspace(iso.min(), iso.max(), 200)
        if (np.stack([grid**2, grid, np.ones_like(grid)], axis=1) @ law >= 0).all():
            return law
    from scipy.optimize import nnls

    scale = columns.max(axis=0)[[0, 2]]
    values, _ = nnls(columns[:, [0, 2]] / scale / sigma[:, None], read / sigma)
    return np.array([values[0] / scale[0], 0, values[1] / scale[1]])


def read_misses(profile: CameraProfile, measured: Sequence[IsoNoise]) -> list[str]:
    """ISOs whose read variance the law misses by more than it should."""
    warnings = []
    for one in measured:
        found = float(one.read_variance[1:3].mean())
        law = profile.noise_at(one.iso).green_read_variance
        error = float(np.hypot(one.read_error[1], one.read_error[2]) / 2)
        if abs(found - law) > max(READ_MISS * found, 4 * error):
            warnings.append(
                f"ISO {one.iso:g}: the read variance measured, {found:.3g}, is not that of the fit, {law:.3g}; a sensor"
                " with two conversion gains does that: calibrate the ISOs below and above the step apart"
            )
    return warnings
