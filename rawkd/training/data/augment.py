"""Augmentations that preserve the Bayer pattern.

Source: Bayer-preserving augmentation, Liu et al., CVPRW 2019 (arXiv 1904.12945): flip or transpose, then crop to RGGB
phase. Pictures are flipped before they become mosaics, which needs no crop. The exposure range is our choice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import FloatArray
from rawkd.sensor.cfa import Symmetry, pack, unpack

EXPOSURE_STOPS = (-3.0, 0.3)
"""Range of the random exposure. It goes far below 0 so that the network sees dark frames."""


def turn_picture(picture: NDArray[Any], symmetry: Symmetry) -> NDArray[Any]:
    """Return an (H, W, 3) picture transposed and then flipped."""
    out = picture.swapaxes(0, 1) if symmetry.transpose else picture
    return out[:: -1 if symmetry.flip_rows else 1, :: -1 if symmetry.flip_columns else 1]


def turn_planes(planes: FloatArray, symmetry: Symmetry) -> FloatArray:
    """Return the (4, h, w) planes of an RGGB mosaic after a symmetry and a crop to RGGB phase.

    The crop removes up to one packed pixel per axis.
    """
    mosaic = unpack(planes)
    data = mosaic.T if symmetry.transpose else mosaic
    if symmetry.flip_rows:
        data = data[::-1][1:-1]
    if symmetry.flip_columns:
        data = data[:, ::-1][:, 1:-1]
    turned: FloatArray = pack(np.ascontiguousarray(data))
    return turned


def random_symmetry(rng: np.random.Generator) -> Symmetry:
    """Return one of the eight symmetries with equal probability."""
    rows, columns, transpose = rng.integers(0, 2, 3).astype(bool)
    return Symmetry(bool(rows), bool(columns), bool(transpose))


def random_exposure(rng: np.random.Generator) -> float:
    """Return an exposure factor 2^u with u uniform in -3..0.3."""
    return float(2 ** rng.uniform(*EXPOSURE_STOPS))
