"""Augmentations that keep a mosaic a mosaic.

Source: Bayer-preserving augmentation, Liu et al., CVPRW 2019 (arXiv 1904.12945): flip or transpose, then crop until the
phase is RGGB again. Pictures are turned before they are mosaicked, which is exact. Exposure range: our choice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import FloatArray
from rawkd.sensor.bayer import BayerSymmetry, pack, unpack

EXPOSURE_STOPS = (-3.0, 0.3)
"""Range of the random exposure: the network must see dark frames."""


def turn_picture(picture: NDArray[Any], symmetry: BayerSymmetry) -> NDArray[Any]:
    """(H, W, 3) flipped and transposed."""
    out = picture.swapaxes(0, 1) if symmetry.transpose else picture
    return out[:: -1 if symmetry.flip_rows else 1, :: -1 if symmetry.flip_columns else 1]


def turn_planes(planes: FloatArray, symmetry: BayerSymmetry) -> FloatArray:
    """(4, h, w) planes of an RGGB mosaic turned as a mosaic and cropped to RGGB: up to one packed pixel smaller."""
    mosaic = unpack(planes)
    data = mosaic.T if symmetry.transpose else mosaic
    if symmetry.flip_rows:
        data = data[::-1][1:-1]
    if symmetry.flip_columns:
        data = data[:, ::-1][:, 1:-1]
    turned: FloatArray = pack(np.ascontiguousarray(data))
    return turned


def random_symmetry(rng: np.random.Generator) -> BayerSymmetry:
    """One of the eight, all alike."""
    rows, columns, transpose = rng.integers(0, 2, 3).astype(bool)
    return BayerSymmetry(bool(rows), bool(columns), bool(transpose))


def random_exposure(rng: np.random.Generator) -> float:
    """A factor 2^U(-3, 0.3)."""
    return float(2 ** rng.uniform(*EXPOSURE_STOPS))
