"""Fit a camera's noise: a variance line for each ISO, then gain and read variance as functions of ISO.

Source: PMRID, Wang et al., ECCV 2020, section 3.1 and eq. 1-6. The gain is linear in the ISO, the read variance
quadratic. Weights and outlier handling are our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rawkd.calibration.transfer import TransferPoints
from rawkd.calibration.transfer_line import (
    MIN_POINTS,
    OUTLIER_SIGMAS,
    ClassPoints,
    fit_straight,
    fit_transfer_line,
    weighted_fit,
)
from rawkd.errors import NoiseError
from rawkd.photo import CFAPattern, DoubleArray
from rawkd.sensor.blind.least_squares import non_negative
from rawkd.sensor.profile import CameraProfile

LEAST_KEPT = 0.6
"""Least share of the blocks that must lie on the line; in a moving scene fewer do."""
LARGEST_BEND = 0.08
"""Largest share of the shot noise at high levels that grows with the level squared, as moving texture does."""
LARGEST_GAIN_ERROR = 0.1
GAIN_IMPERFECTION, READ_IMPERFECTION = 0.01, 0.03
"""Relative deviations of real cameras from the fits over ISO, in addition to the errors of the points."""
READ_MISS = 0.25
"""Relative difference between measured and fitted read variance above which rawkd warns (dual gain sensors)."""
ODD_GAIN, ODD_SIGMAS = 0.1, 4.0
"""Least relative difference, and least number of standard errors, between the gain of a mislabelled ISO and the fit of
the others."""


@dataclass(frozen=True, eq=False)
class IsoNoise:
    """Measured noise at one ISO.

    Attributes
    ----------
    gain, read_variance : (classes,) one for each noise class of the CFA.
    gain_error, read_error : (classes,) their standard errors.
    chi_square : chi-square of the used blocks around their lines per degree of freedom; 1 for a perfect fit.
    level, variance, sigma : (m,) level, variance and its standard error of the used green blocks.
    num_frames, row_variance, clipped_share : see `TransferPoints`.
    kept_share : share of the unclipped blocks that is used.
    cell : canonical pattern of the sensor.
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
    cell: CFAPattern = CFAPattern.RGGB

    @property
    def greens(self) -> tuple[int, ...]:
        """Indices of the noise classes of green: Gr and Gb, G, or the only class of a monochrome sensor."""
        return tuple(np.flatnonzero(self.cell.colour_of_class == 1).tolist())

    def green_error(self, errors: DoubleArray) -> float:
        """Return the standard error of the mean of the greens."""
        return float(np.linalg.norm(errors[list(self.greens)])) / len(self.greens)


def noise_of_iso(iso: float, bursts: Sequence[TransferPoints]) -> IsoNoise:
    """Fit the variance lines of all bursts of one ISO.

    Raises
    ------
    NoiseError: if too many blocks are clipped, the scene moved, or the levels are too similar to separate gain and read
        variance.
    """
    count = sum(len(points.level) for points in bursts)
    clipped = float(np.mean([points.clipped_share for points in bursts]))
    if count < MIN_POINTS:
        raise NoiseError(
            f"ISO {iso:g}: only {count} blocks are neither over- nor underexposed (clipped: {clipped:.0%}). Take frames"
            " with less or more light."
        )
    cell = bursts[0].cell
    classes = [ClassPoints.of(bursts, one) for one in range(len(cell.classes))]
    lines = [fit_transfer_line(points) for points in classes]
    kept = float(np.mean([line.keep.mean() for line in lines]))
    bend = float(np.mean([line.bend for line in lines]))
    bend_error = float(np.sqrt(np.mean([line.bend_error**2 for line in lines]) / len(lines)))
    if kept < LEAST_KEPT or bend > max(LARGEST_BEND, OUTLIER_SIGMAS * bend_error):
        raise NoiseError(
            f"ISO {iso:g}: the variances do not lie on one line ({kept:.0%} of the blocks do, and the line bends up by"
            f" {max(bend, 0):.0%}), so the scene or the camera moved, or the frames differ in ISO. Use a tripod and a"
            " still scene."
        )
    errors = np.array([np.sqrt(np.diag(line.covariance)) for line in lines])
    gain = np.array([line.gain for line in lines])
    green = np.flatnonzero(cell.colour_of_class == 1)
    if not (gain > 0).all() or (errors[green, 0] > LARGEST_GAIN_ERROR * gain[green]).any():
        low, high = np.quantile(classes[green[0]].level, [0.02, 0.98])
        raise NoiseError(
            f"ISO {iso:g}: gain and read variance cannot be separated, because all levels lie between {low:.3f} and"
            f" {high:.3f} of white. Add frames with other exposures, or dark frames with the lens cap on."
        )
    weights = np.array([points.row_weight for points in bursts])
    return IsoNoise(
        iso=iso,
        gain=gain,
        read_variance=np.array([line.read for line in lines]),
        gain_error=errors[:, 0],
        read_error=errors[:, 1],
        chi_square=float(np.mean([line.chi_square for line in lines])),
        level=np.concatenate([classes[one].level[lines[one].keep] for one in green]),
        variance=np.concatenate([classes[one].variance[lines[one].keep] for one in green]),
        sigma=np.concatenate([lines[one].sigma[lines[one].keep] for one in green]),
        num_frames=sum(points.num_frames for points in bursts),
        row_variance=float(np.average([points.row_variance for points in bursts], weights=weights)),
        clipped_share=clipped,
        kept_share=kept,
        cell=cell,
    )


def odd_iso(measured: Sequence[IsoNoise]) -> tuple[float, str] | None:
    """Return the ISO whose green gain differs most from the fit of the others, and the reason; None if all agree.

    Needs at least four ISOs; returns None for fewer.
    """
    if len(measured) < 4:
        return None
    found: tuple[float, float, str] | None = None
    for one in measured:
        others = [other for other in measured if other is not one]
        (slope, offset), _ = gain_law(others, one.greens)
        rest = max(abs(_green(other) / (slope * other.iso + offset) - 1) for other in others)
        miss = _green(one) / (slope * one.iso + offset) - 1
        error = one.green_error(one.gain_error) / _green(one)
        if abs(miss) > max(ODD_GAIN, ODD_SIGMAS * error, 3 * rest) and (found is None or abs(miss) > found[0]):
            likely = (_green(one) - offset) / slope
            message = f"its gain is that of ISO {likely:.0f}: the frames are probably labelled with a wrong ISO"
            found = abs(miss), one.iso, message
    return None if found is None else found[1:]


def _green(noise: IsoNoise) -> float:
    return float(noise.gain[list(noise.greens)].mean())


def gain_law(measured: Sequence[IsoNoise], classes: tuple[int, ...]) -> tuple[tuple[float, float], DoubleArray]:
    """Fit gain = g1 * ISO + g0 to some noise classes together; return (g1, g0) and their covariance.

    With a single ISO, g0 is 0.
    """
    iso = np.array([one.iso for one in measured for _ in classes])
    gain = np.array([one.gain[each] for one in measured for each in classes])
    error = np.array([one.gain_error[each] for one in measured for each in classes])
    sigma = np.hypot(error, GAIN_IMPERFECTION * gain)
    if len(measured) == 1:
        (slope,), covariance = weighted_fit(iso[:, None], gain, sigma)
        return (float(slope), 0.0), np.pad(covariance, (0, 1))
    return fit_straight(iso, gain, sigma)


def read_law(measured: Sequence[IsoNoise], each: int) -> DoubleArray:
    """Fit read variance = r2 * ISO^2 + r1 * ISO + r0 to the noise class `each`; return (r2, r1, r0), (3,).

    The fit is never negative between the lowest and the highest ISO. r1 is zero with fewer than three ISOs, or if the
    full fit would be negative. With a single ISO, r1 and r0 are zero.
    """
    iso = np.array([one.iso for one in measured])
    read = np.array([one.read_variance[each] for one in measured])
    error = np.array([one.read_error[each] for one in measured])
    sigma = np.maximum(np.hypot(error, READ_IMPERFECTION * read), 1e-16)
    if len(measured) == 1:
        return np.array([max(read[0], 0) / iso[0] ** 2, 0, 0])
    columns = np.stack([iso**2, iso, np.ones_like(iso)], axis=1)
    if len(measured) > 2:
        law, _ = weighted_fit(columns, read, sigma)
        grid = np.geomspace(iso.min(), iso.max(), 200)
        if (np.stack([grid**2, grid, np.ones_like(grid)], axis=1) @ law >= 0).all():
            return law
    weighted = columns[:, [0, 2]] / sigma[:, None]
    square, constant = non_negative(weighted.T @ weighted, weighted.T @ (read / sigma))
    return np.array([square, 0, constant])


def read_misses(profile: CameraProfile, measured: Sequence[IsoNoise]) -> list[str]:
    """Return a warning for each ISO whose measured read variance differs too much from the fit."""
    warnings = []
    for one in measured:
        found = float(one.read_variance[list(one.greens)].mean())
        law = profile.noise_at(one.iso).green_read_variance
        error = one.green_error(one.read_error)
        if abs(found - law) > max(READ_MISS * found, 4 * error):
            warnings.append(
                f"ISO {one.iso:g}: the measured read variance {found:.3g} differs from the fit, {law:.3g}, as with a"
                " sensor that has two conversion gains. Calibrate the ISOs below and above the step separately."
            )
    return warnings
