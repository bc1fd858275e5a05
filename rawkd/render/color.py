"""Colour arithmetic of the minimal ISP: matrices, white balance, gamma and tone.

Sources: unprocessing (Brooks et al., CVPR 2019, arXiv 1811.11127; code Apache-2.0); sRGB is IEC 61966-2-1. All
functions except `viewing_curve` accept numpy arrays and torch tensors, because training losses use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawkd.photo import ColorCalibration, DoubleArray

XYZ_FROM_RGB: DoubleArray = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ (D65), with the digits that unprocessing uses."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of gamma-encoded R, G, B in luma (ITU-R BT.601)."""

TONE_SHARE = 0.5
"""Weight of smoothstep in the viewing tone; the rest is the plain sRGB curve (our choice)."""


def array_module(array: Any) -> Any:
    """Return the module whose functions accept the array: numpy, or torch for a tensor."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def camera_from_rgb(camera_from_xyz: DoubleArray) -> DoubleArray:
    """Return the (3, 3) matrix from linear sRGB to white-balanced camera colour.

    It is camera-from-XYZ times XYZ-from-sRGB, with each row scaled to the sum 1, so that grey stays exactly grey
    (unprocessing; dcraw does the same).
    """
    matrix: DoubleArray = camera_from_xyz @ XYZ_FROM_RGB
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix


@dataclass(frozen=True, eq=False)
class ProcessMetadata:
    """Colour parameters of a picture for metrics mode, or of a batch of n pictures with a leading axis of n.

    Attributes
    ----------
    gains : (..., 3) multipliers of camera R, G, B, positive.
    rgb_from_camera : (..., 3, 3) white-balanced camera colour to linear sRGB; each row sums to 1.

    Numpy arrays work with numpy and torch pictures. Tensors must be on the same device as the picture.
    """

    gains: Any
    rgb_from_camera: Any

    @classmethod
    def of(cls, color: ColorCalibration) -> ProcessMetadata:
        """Return the parameters of a photo: gains that turn its as-shot neutral grey (green has gain 1), and matrix."""
        neutral = color.as_shot_neutral
        return cls(neutral[1] / neutral, np.linalg.inv(camera_from_rgb(color.camera_from_xyz)))


def white_balance(planes: Any, gains: Any) -> Any:
    """Multiply (..., 4, h, w) planes R, Gr, Gb, B by (..., 3) gains of R, G, B, without clipping."""
    return planes * _beside(gains, planes)[..., [0, 1, 1, 2]][..., None, None]


def color_correct(rgb: Any, rgb_from_camera: Any) -> Any:
    """Convert (..., 3, h, w) camera colour to linear sRGB by (..., 3, 3) matrices, without clipping."""
    h, w = rgb.shape[-2:]
    flat = _beside(rgb_from_camera, rgb) @ rgb.reshape(*rgb.shape[:-2], h * w)
    return flat.reshape(*flat.shape[:-1], h, w)


def gamma(linear: Any) -> Any:
    """Encode linear 0..1 with gamma 2.2, after clipping to 1e-8..1."""
    return array_module(linear).clip(linear, 1e-8, 1.0) ** (1 / 2.2)


def tone(encoded: Any) -> Any:
    """Apply smoothstep 3x^2 - 2x^3 to 0..1, the tone curve that unprocessing inverts."""
    return encoded * encoded * (3 - 2 * encoded)


def viewing_curve(linear: DoubleArray) -> DoubleArray:
    """Apply the viewing tone to linear 0..1: the sRGB curve mixed with smoothstep, rising from 0 to 1; numpy only."""
    linear = np.clip(linear, 0.0, 1.0)
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    encoded: DoubleArray = np.where(linear <= 0.0031308, 12.92 * linear, power)
    encoded += TONE_SHARE * (tone(encoded) - encoded)
    return encoded


def _beside(values: Any, picture: Any) -> Any:
    """Convert values to the picture's array type, precision and device."""
    if isinstance(picture, np.ndarray):
        return np.asarray(values, picture.dtype)
    return array_module(picture).as_tensor(values).to(picture)
