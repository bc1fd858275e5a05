"""Read the colour of raw files that are not DNG from LibRaw, with fallbacks for missing values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rawkd.photo import ColorCalibration, DoubleArray
from rawkd.render.color import XYZ_FROM_RGB

SRGB_FROM_XYZ: DoubleArray = np.linalg.inv(XYZ_FROM_RGB).astype(np.float64)
"""Linear sRGB from XYZ under D65 (IEC 61966-2-1)."""
D65_XYZ: DoubleArray = XYZ_FROM_RGB.sum(axis=1)
"""XYZ of D65, the white point of sRGB."""
NO_MATRIX = (
    "no colour matrix of this camera is known, so rawkd treats its colours as sRGB. If they look wrong, choose the"
    " camera's profile in your editor."
)
NO_WHITE_BALANCE = (
    "the file states no usable white balance, so rawkd assumed daylight. Photos in lamp light look orange: set the"
    " white balance in your editor."
)
MIN_DETERMINANT = 1e-6
MAX_NEUTRAL_RATIO = 1e3


@dataclass(frozen=True, eq=False)
class Fallback:
    """Fallback colour matrix: LibRaw's XYZ-to-camera matrix of the camera, (3, 3); zeros if LibRaw has none."""

    libraw_matrix: DoubleArray

    def matrix(self) -> tuple[DoubleArray, str]:
        """Return LibRaw's matrix, else that of sRGB, and a warning."""
        if invertible(self.libraw_matrix):
            return self.libraw_matrix, "the file has no usable colour matrix. LibRaw's matrix of this camera is used."
        return SRGB_FROM_XYZ, NO_MATRIX


def invertible(matrix: DoubleArray) -> bool:
    """Return whether a colour matrix is finite and invertible."""
    return bool(np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > MIN_DETERMINANT)


def positive(color: DoubleArray) -> bool:
    """Return whether a (3,) camera colour is plausible for grey: all positive, none over 1000 times another."""
    return bool(
        color.shape == (3,)
        and np.isfinite(color).all()
        and color.min() > 0
        and color.max() <= MAX_NEUTRAL_RATIO * color.min()
    )


def daylight_neutral(matrix: DoubleArray) -> DoubleArray:
    """Return the camera colour of D65, (3,); ones if the matrix gives no positive colour."""
    neutral: DoubleArray = matrix @ D65_XYZ
    return neutral if neutral.min() > 0 else np.ones(3)


def libraw_color(header: Mapping[str, Any]) -> tuple[ColorCalibration, tuple[str, ...]]:
    """Return the colour of a file that is not a DNG, and warnings.

    It has LibRaw's matrix and, as neutral, 1 / the camera's white-balance multipliers. A missing matrix or white
    balance is replaced, and a warning names the replacement (our choice).
    """
    warnings = []
    matrix = libraw_matrix(header)
    if not invertible(matrix):
        matrix, warning = Fallback(matrix).matrix()
        warnings.append(warning)
    neutral = _neutral(header["camera_wb"])
    if neutral is None:
        neutral = daylight_neutral(matrix)
        warnings.append(NO_WHITE_BALANCE)
    return ColorCalibration(matrix, neutral), tuple(warnings)


def libraw_matrix(header: Mapping[str, Any]) -> DoubleArray:
    """Return LibRaw's XYZ-to-camera matrix, (3, 3); zeros if LibRaw has none."""
    return np.array(header["camera_from_xyz"], np.float64).reshape(3, 3)


def _neutral(camera_wb: list[float]) -> DoubleArray | None:
    """Return 1 / the multipliers of red, green and blue, with two greens averaged; None if they are implausible."""
    red, green, blue, second = (float(value) for value in camera_wb)
    gains = np.array([red, (green + second) / 2 if second > 0 else green, blue])
    if not positive(gains):
        return None
    neutral: DoubleArray = 1 / gains
    return neutral
