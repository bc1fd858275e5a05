"""Colour of a raw file that is no DNG, as LibRaw knows it, and what stands in for what is missing."""

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
"""The white of D65, which is the white of sRGB."""
MIN_DETERMINANT = 1e-6
MAX_NEUTRAL_RATIO = 1e3


@dataclass(frozen=True, eq=False)
class Fallback:
    """The matrix that LibRaw has of the camera, XYZ to camera, (3, 3); zeros where it has none."""

    libraw_matrix: DoubleArray

    def matrix(self) -> tuple[DoubleArray, str]:
        """LibRaw's matrix, else that of sRGB, and the warning to give."""
        if invertible(self.libraw_matrix):
            return self.libraw_matrix, "the file has no usable colour matrix: LibRaw's matrix of this camera is used"
        return SRGB_FROM_XYZ, "no colour matrix of this camera is known: its colours are taken for sRGB"


def invertible(matrix: DoubleArray) -> bool:
    """Whether a colour matrix can be used at all."""
    return bool(np.isfinite(matrix).all() and abs(np.linalg.det(matrix)) > MIN_DETERMINANT)


def positive(color: DoubleArray) -> bool:
    """Whether three numbers are a camera colour that a grey card may have: positive, none 1000 times another."""
    return bool(
        color.shape == (3,)
        and np.isfinite(color).all()
        and color.min() > 0
        and color.max() <= MAX_NEUTRAL_RATIO * color.min()
    )


def daylight_neutral(matrix: DoubleArray) -> DoubleArray:
    """The camera's colour of D65, (3,); ones where the matrix gives no positive colour."""
    neutral: DoubleArray = matrix @ D65_XYZ
    return neutral if neutral.min() > 0 else np.ones(3)


def libraw_color(header: Mapping[str, Any]) -> tuple[ColorCalibration, tuple[str, ...]]:
    """Colour of a file that is no DNG: LibRaw's matrix and one over the camera's white balance.

    A missing matrix or white balance is a warning, and what stands in for it is stated (our choice).
    """
    warnings = []
    matrix = libraw_matrix(header)
    if not invertible(matrix):
        matrix, warning = Fallback(matrix).matrix()
        warnings.append(warning)
    neutral = _neutral(header["camera_wb"])
    if neutral is None:
        neutral = daylight_neutral(matrix)
        warnings.append("the file has no usable white balance: daylight is taken for its white")
    return ColorCalibration(matrix, neutral), tuple(warnings)


def libraw_matrix(header: Mapping[str, Any]) -> DoubleArray:
    """XYZ to camera as LibRaw gives it, (3, 3); zeros where it has none."""
    return np.array(header["camera_from_xyz"], np.float64).reshape(3, 3)


def _neutral(camera_wb: list[float]) -> DoubleArray | None:
    """One over the multipliers of red, green and blue; the greens averaged where there are two."""
    red, green, blue, second = (float(value) for value in camera_wb)
    gains = np.array([red, (green + second) / 2 if second > 0 else green, blue])
    if not positive(gains):
        return None
    neutral: DoubleArray = 1 / gains
    return neutral
