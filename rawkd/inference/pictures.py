"""Denoise finished pictures, grey or sRGB, with a network for additive white Gaussian noise (AWGN).

There is no mosaic and no k-sigma. A card states this noise as an anchor with gain 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.photo import FloatArray
from rawkd.render.color import LUMA
from rawkd.sensor.cfa import SYMMETRIES, Symmetry
from rawkd.sensor.ksigma import Anchor

WHITE = 255.0
"""White level in the unit of sigma."""


def anchor_of_sigma(sigma: float) -> Anchor:
    """Return the anchor (gain 0) of white Gaussian noise with standard deviation `sigma`, white 255."""
    return Anchor(0.0, (sigma / WHITE) ** 2)


def values_of(picture: NDArray[Any], channels: int) -> FloatArray:
    """Return a picture as float32 in 0..1: (1, H, W) grey or (3, H, W) sRGB.

    Grey is BT.601 luma, rounded to the levels of the picture, as in an 8-bit grey file.

    Parameters
    ----------
    picture : (H, W, 3) sRGB, uint8 or uint16. channels : 1 or 3.
    """
    white = np.float32(np.iinfo(picture.dtype).max)
    wide = picture.astype(np.float32)
    values = np.rint(wide @ np.array(LUMA, np.float32))[None] if channels == 1 else wide.transpose(2, 0, 1)
    return np.ascontiguousarray(values / white)


def turned(picture: FloatArray, symmetry: Symmetry) -> FloatArray:
    """Return an (..., h, w) picture transposed and then flipped (one of eight symmetries), without padding."""
    out = picture.swapaxes(-2, -1) if symmetry.transpose else picture
    return out[..., :: -1 if symmetry.flip_rows else 1, :: -1 if symmetry.flip_columns else 1]


def turned_back(picture: FloatArray, symmetry: Symmetry) -> FloatArray:
    """Return the picture before `turned`: its inverse."""
    out = picture[..., :: -1 if symmetry.flip_rows else 1, :: -1 if symmetry.flip_columns else 1]
    return out.swapaxes(-2, -1) if symmetry.transpose else out


def restore_picture(engine: Engine, noisy: FloatArray, card: ModelCard, members: int = 1) -> FloatArray:
    """Return the denoised picture, (c, h, w) float32, white 1, not clipped.

    The picture is run whole, without tiles. It is padded by reflection to multiples of the card's stride.

    Parameters
    ----------
    noisy : (c, h, w) float32, white 1. members : number of symmetries to average, a key of `SYMMETRIES`; published
        tables mark 8 with "+".
    """
    restored = [turned_back(_restored(engine, turned(noisy, way), card), way) for way in SYMMETRIES[members]]
    mean: FloatArray = np.mean(restored, axis=0, dtype=np.float32)
    return mean


def _restored(engine: Engine, noisy: FloatArray, card: ModelCard) -> FloatArray:
    height, width = noisy.shape[-2:]
    missing = [(0, -size % card.stride) for size in (height, width)]
    padded = np.pad(noisy, ((0, 0), *missing), mode="reflect")
    return engine.run(np.ascontiguousarray(padded)[None])[0, :, :height, :width]
