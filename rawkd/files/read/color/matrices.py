"""Interpolate a DNG's colour matrix between its calibration illuminants for the light of the photo.

Source: DNG specification 1.4 to 1.7, chapter 6: XYZ to camera = AnalogBalance x CameraCalibration x ColorMatrix. It is
interpolated linearly in the inverse of the correlated colour temperature of the photo's white, and constant beyond the
outermost illuminants. With three illuminants we interpolate between the two neighbours (our choice). ForwardMatrix and
ReductionMatrix are not used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rawkd.files.read.color.fallback import invertible
from rawkd.files.tiff.tags import Ifd
from rawkd.photo import DoubleArray

COLOR_MATRICES, CAMERA_CALIBRATIONS, ILLUMINANTS = (50721, 50722, 52531), (50723, 50724, 52530), (50778, 50779, 52529)
ANALOG_BALANCE = 50727
CALIBRATION_SIGNATURES = (50931, 50932)

KELVIN = {1: 5500, 2: 4150, 3: 2850, 4: 5500, 9: 5500, 10: 6500, 11: 7500, 12: 6400, 13: 5050, 14: 4150, 15: 3525}
KELVIN |= {16: 2925, 17: 2856, 18: 4874, 19: 6774, 20: 5503, 21: 6504, 22: 7504, 23: 5003, 24: 3200}
"""Colour temperature of EXIF's LightSource codes, kelvin. Fluorescent lamps have the middle of the range in EXIF 2.32;
standard illuminants (17 A, 18 B, 19 C, 20 D55, 21 D65, 22 D75, 23 D50, 24 ISO studio tungsten) their defined value."""

D50_XY = (0.3457, 0.3585)
MAX_PASSES, CONVERGED = 30, 1e-7
MIN_XY = 1e-4
COOLEST_MIRED, WARMEST_MIRED = 40, 1000
"""25,000 K and 1,000 K: colour temperatures are clipped to this range."""


@dataclass(frozen=True, eq=False)
class Matrices:
    """The usable matrices of a DNG, from XYZ to camera, warmest illuminant first.

    Attributes
    ----------
    mired : 1e6 / colour temperature of each illuminant, falling. matrices : (3, 3) float64 for each illuminant.
    """

    mired: tuple[float, ...]
    matrices: tuple[DoubleArray, ...]

    def at(self, white_xy: tuple[float, float]) -> DoubleArray:
        """Return the (3, 3) matrix, XYZ to camera, for light of this chromaticity."""
        if len(self.matrices) == 1:
            return self.matrices[0]
        wanted, rising = mired_of(white_xy), self.mired[::-1]
        place = np.interp(wanted, rising, np.arange(len(rising)))
        below = min(int(place), len(rising) - 2)
        share = place - below
        cool, warm = self.matrices[::-1][below : below + 2]
        mixed: DoubleArray = (1 - share) * cool + share * warm
        return mixed

    def neutral_of(self, white_xy: tuple[float, float]) -> DoubleArray:
        """Return the camera colour of grey in light of this chromaticity, (3,)."""
        neutral: DoubleArray = self.at(white_xy) @ _xyz_of(white_xy)
        return neutral

    def white_of(self, neutral: DoubleArray) -> tuple[float, float] | None:
        """Return the chromaticity of the light in which grey has this camera colour; None if there is none.

        It iterates as the specification describes: the white selects the matrix, and the matrix gives the next white.
        If two whites alternate, their mean is returned.
        """
        white, before = D50_XY, D50_XY
        for _ in range(MAX_PASSES):
            before = white
            matrix = self.at(white)
            if not invertible(matrix):
                return None
            xyz = np.linalg.solve(matrix, neutral)
            if not xyz.min() > 0:
                return None
            white = (float(xyz[0] / xyz.sum()), float(xyz[1] / xyz.sum()))
            if abs(white[0] - before[0]) + abs(white[1] - before[1]) < CONVERGED:
                return white
        return ((white[0] + before[0]) / 2, (white[1] + before[1]) / 2)


def read_matrices(fields: Ifd) -> tuple[Matrices | None, tuple[str, ...]]:
    """Return the usable matrices of a DNG's colour tags, or None, and a warning for each unusable one.

    A CameraCalibration is used only if its signature equals that of the profile (50931, 50932; both may be missing). A
    matrix whose illuminant has an unknown temperature is used only if no other has a known one; then the first is used
    alone.
    """
    warnings: list[str] = []
    known: list[tuple[float, DoubleArray]] = []
    unknown: list[tuple[int, DoubleArray]] = []
    for slot, number in enumerate(COLOR_MATRICES):
        if number not in fields.tags:
            continue
        matrix = _calibrated(fields, slot)
        if matrix is None:
            warnings.append(f"the file's ColorMatrix{slot + 1} cannot be inverted and is not used")
            continue
        code = int(fields.number(ILLUMINANTS[slot]) or 0)
        if code in KELVIN:
            known.append((1e6 / KELVIN[code], matrix))
        else:
            unknown.append((code, matrix))
    if unknown and len(known) + len(unknown) > 1:
        unused = unknown if known else unknown[1:]
        codes = " and ".join(str(code) for code, _ in unused)
        warnings.append(
            f"the colour temperature of the file's calibration illuminant {codes} is unknown."
            " Its colour matrix is not used."
        )
    if not known and not unknown:
        return None, tuple(warnings)
    if not known:
        known = [(1e6 / KELVIN[21], unknown[0][1])]
    ordered = sorted(dict(reversed(known)).items(), key=lambda entry: -entry[0])
    return Matrices(tuple(mired for mired, _ in ordered), tuple(matrix for _, matrix in ordered)), tuple(warnings)


def mired_of(white_xy: tuple[float, float]) -> float:
    """Return 1e6 / correlated colour temperature of a chromaticity, from 40 (25,000 K) to 1,000 (1,000 K).

    It is that of the nearest point on the Planckian locus in CIE 1960 u, v. Source of the locus: Krystek, "An algorithm
    to calculate correlated colour temperature", Color Research and Application 10 (1985), 38-40.
    """
    x, y = white_xy
    divisor = -2 * x + 12 * y + 3
    u, v = 4 * x / divisor, 6 * y / divisor
    mired = np.linspace(COOLEST_MIRED, WARMEST_MIRED, 4 * (WARMEST_MIRED - COOLEST_MIRED) + 1)
    locus_u, locus_v = _planckian_uv(1e6 / mired)
    distance = (locus_u - u) ** 2 + (locus_v - v) ** 2
    nearest = min(max(int(distance.argmin()), 1), len(mired) - 2)
    left, middle, right = distance[nearest - 1 : nearest + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature > 0 else 0.0
    return float(np.clip(mired[nearest] + shift * (mired[1] - mired[0]), COOLEST_MIRED, WARMEST_MIRED))


def valid_white(values: tuple[float, ...]) -> tuple[float, float] | None:
    """Return AsShotWhiteXY (50729) if it is a valid chromaticity, else None."""
    if len(values) != 2 or not all(map(math.isfinite, values)):
        return None
    x, y = values
    return (x, y) if min(x, y, 1 - x - y) > MIN_XY else None


def _planckian_uv(kelvin: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    """Return CIE 1960 u and v of black bodies (Krystek 1985, equations for u and v, 1,000 to 15,000 K)."""
    square = kelvin * kelvin
    u = (0.860117757 + 1.54118254e-4 * kelvin + 1.28641212e-7 * square) / (
        1 + 8.42420235e-4 * kelvin + 7.08145163e-7 * square
    )
    v = (0.317398726 + 4.22806245e-5 * kelvin + 4.20481691e-8 * square) / (
        1 - 2.89741816e-5 * kelvin + 1.61456053e-7 * square
    )
    return u, v


def _calibrated(fields: Ifd, slot: int) -> DoubleArray | None:
    """Return AnalogBalance x CameraCalibration x ColorMatrix of one illuminant; None if it cannot be inverted."""
    matrix = _matrix(fields, COLOR_MATRICES[slot])
    if matrix is None or not invertible(matrix):
        return None
    calibration = _matrix(fields, CAMERA_CALIBRATIONS[slot])
    signatures = [fields.text(number) for number in CALIBRATION_SIGNATURES]
    if calibration is not None and signatures[0] == signatures[1]:
        matrix = calibration @ matrix
    balance = fields.numbers(ANALOG_BALANCE)
    if len(balance) == 3 and all(math.isfinite(value) and value > 0 for value in balance):
        matrix = np.array(balance)[:, None] * matrix
    return matrix if invertible(matrix) else None


def _matrix(fields: Ifd, number: int) -> DoubleArray | None:
    values = fields.numbers(number)
    return np.array(values, np.float64).reshape(3, 3) if len(values) == 9 and all(map(math.isfinite, values)) else None


def _xyz_of(white_xy: Iterable[float]) -> DoubleArray:
    """Return the XYZ of a chromaticity, with Y = 1."""
    x, y = white_xy
    return np.array([x / y, 1.0, (1 - x - y) / y])
