"""Finished pictures, grey or sRGB, through a network that was trained on additive white Gaussian noise.

Nothing of a sensor here: no mosaic and no k-sigma. Cards state such noise as that of a sensor with gain 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.photo import FloatArray
from rawkd.render.color import LUMA
from rawkd.sensor.bayer import SYMMETRIES, BayerSymmetry
from rawkd.sensor.ksigma import Anchor

WHITE = 255.0
"""White in the unit in which sigma is counted."""


def anchor_of_sigma(sigma: float) -> Anchor:
    """White Gaussian noise of a standard deviation, white being 255, as an anchor: gain 0."""
    return Anchor(0.0, (sigma / WHITE) ** 2)


def values_of(picture: NDArray[Any], channels: int) -> FloatArray:
    """(H, W, 3) sRGB, uint8 or uint16 -> (1, H, W) grey or (3, H, W) sRGB, white 1.

    Grey is BT.601's luma rounded to the picture's own levels, as grey pictures are files of 8 bits.
    """
    white = np.float32(np.iinfo(picture.dtype).max)
    wide = picture.astype(np.float32)
    values = np.rint(wide @ np.array(LUMA, np.float32))[None] if channels == 1 else wide.transpose(2, 0, 1)
    return np.ascontiguousarray(values / white)


def turned(picture: FloatArray, symmetry: BayerSymmetry) -> FloatArray:
    """(..., h, w) picture transposed, then flipped: one of the eight symmetries, without any padding."""
    out = picture.swapaxes(-2, -1) if symmetry.transpose else picture
    return out[..., :: -1 if symmetry.flip_rows else 1, :: -1 if symmetry.flip_columns else 1]


def turned_back(picture: FloatArray, symmetry: BayerSymmetry) -> FloatArray:
    """The inverse of `turned`."""
    out = picture[..., :: -1 if symmetry.flip_rows else 1, :: -1 if symmetry.flip_columns else 1]
    return out.swapaxes(-2, -1) if symmetry.transpose else out


def restore_picture(engine: Engine, noisy: FloatArray, card: ModelCard, members: int = 1) -> FloatArray:
    """A noisy picture as the network restores it, whole and unclipped, (c, h, w) float32, white 1.

    Height and width that are no multiples of the card's stride are continued by reflection and cut again.

    Parameters
    ----------
    members : symmetries whose mean is the answer, a key of `SYMMETRIES`; 8 is the "+" of the field's tables.
    """
    restored = [turned_back(_restored(engine, turned(noisy, way), card), way) for way in SYMMETRIES[members]]
    mean: FloatArray = np.mean(restored, axis=0, dtype=np.float32)
    return mean


def _restored(engine: Engine, noisy: FloatArray, card: ModelCard) -> FloatArray:
    height, width = noisy.shape[-2:]
    missing = [(0, -size % card.stride) for size in (height, width)]
    padded = np.pad(noisy, ((0, 0), *missing), mode="reflect")
    return engine.run(np.ascontiguousarray(padded)[None])[0, :, :height, :width]
