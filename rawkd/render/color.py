"""The colour arithmetic of the minimalist ISP: matrices, white balance, gamma and tone.

Sources: unprocessing (Brooks et al., CVPR 2019, arXiv 1811.11127; code Apache-2.0); sRGB is IEC 61966-2-1. Every
formula but `viewing_curve` takes numpy arrays and torch tensors alike, since losses need them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawkd.photo import ColorCalibration, DoubleArray

XYZ_FROM_RGB: DoubleArray = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Linear sRGB to XYZ (D65), to the digits of unprocessing."""

LUMA = (0.299, 0.587, 0.114)
"""Of gamma-encoded R, G, B (ITU-R BT.601)."""

TONE_SHARE = 0.5
"""Share of smoothstep in the viewing tone; the rest is the plain sRGB curve (our choice)."""


def array_module(array: Any) -> Any:
    """The namespace whose functions take the array: that of numpy, or torch for a tensor."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def camera_from_rgb(camera_from_xyz: DoubleArray) -> DoubleArray:
    """Linear sRGB to white-balanced camera colour, (3, 3): camera from XYZ times XYZ from sRGB, rows made to sum to 1.

    Grey therefore stays grey exactly (unprocessing; dcraw does the same).
    """
    matrix: DoubleArray = camera_from_xyz @ XYZ_FROM_RGB
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix


@dataclass(frozen=True, eq=False)
class ProcessMetadata:
    """What metrics mode needs to know of a picture or, with a leading axis of n, of each picture of a batch.

    Attributes
    ----------
    gains : (..., 3) multipliers of camera R, G, B, positive.
    rgb_from_camera : (..., 3, 3) white-balanced camera colour to linear sRGB, rows summing to 1.

    Numpy arrays serve numpy and torch pictures; tensors must lie beside the picture.
    """

    gains: Any
    rgb_from_camera: Any

    @classmethod
    def of(cls, color: ColorCalibration) -> ProcessMetadata:
        """Of a photo: the gains that make its as-shot neutral grey, green's being 1."""
        neutral = color.as_shot_neutral
        return cls(neutral[1] / neutral, np.linalg.inv(camera_from_rgb(color.camera_from_xyz)))


def white_balance(planes: Any, gains: Any) -> Any:
    """(..., 4, h, w) planes R, Gr, Gb, B times (..., 3) gains of R, G, B; unclipped."""
    return planes * _beside(gains, planes)[..., [0, 1, 1, 2]][..., None, None]


def color_correct(rgb: Any, rgb_from_camera: Any) -> Any:
    """(..., 3, h, w) camera colour to linear sRGB by (..., 3, 3); unclipped."""
    h, w = rgb.shape[-2:]
    flat = _beside(rgb_from_camera, rgb) @ rgb.reshape(*rgb.shape[:-2], h * w)
    return flat.reshape(*flat.shape[:-1], h, w)


def gamma(linear: Any) -> Any:
    """Linear 0..1 to gamma 2.2; values below 1e-8 become it, values above 1 become 1."""
    return array_module(linear).clip(linear, 1e-8, 1.0) ** (1 / 2.2)


def tone(encoded: Any) -> Any:
    """Smoothstep 3x^2 - 2x^3 of 0..1: the tone curve that unprocessing inverts."""
    return encoded * encoded * (3 - 2 * encoded)


def viewing_curve(linear: DoubleArray) -> DoubleArray:
    """Viewing tone of linear 0..1: the sRGB curve with a share of smoothstep. Grows from 0 to 1; numpy only."""
    linear = np.clip(linear, 0.0, 1.0)
    power = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    encoded: DoubleArray = np.where(linear <= 0.0031308, 12.92 * linear, power)
    encoded += TONE_SHARE * (tone(encoded) - encoded)
    return encoded


def _beside(values: Any, picture: Any) -> Any:
    """Numbers in the kind, precision and place of the picture."""
    if isinstance(picture, np.ndarray):
        return np.asarray(values, picture.dtype)
    return array_module(picture).as_tensor(values).to(picture)
