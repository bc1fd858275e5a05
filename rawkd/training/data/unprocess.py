"""Unprocessing: convert an sRGB photograph to a linear mosaic that a camera could have recorded.

Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019 (arXiv 1811.11127); matrices,
constants and order from its public code (Apache-2.0). The wider ranges of the gains are those of YOND's training.
Unprocessing is the inverse of `rawkd.render.isp.process`: below the highlights, processing with `Look.metadata` and
then `tone` restores the photograph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.photo import CFAPattern, DoubleArray, FloatArray
from rawkd.render.color import ProcessMetadata, camera_from_rgb

Floats = NDArray[np.floating]
Picture = NDArray[np.uint8] | NDArray[np.uint16] | Floats

CAMERA_FROM_XYZ: DoubleArray = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.613, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.838, -0.263, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.097, 0.1581, 0.5181]],
    ]
)
"""(4, 3, 3) matrices from XYZ to camera colour of the four cameras of the Darmstadt Noise Dataset."""

HIGHLIGHT_FROM = 0.9
"""Mean camera colour above which the inverse gains fade out, so that white stays saturated."""


@dataclass(frozen=True, eq=False)
class Look:
    """Assumed development settings of a picture.

    Attributes
    ----------
    camera_from_rgb : (3, 3) matrix from linear sRGB to white-balanced camera colour; its rows sum to 1.
    red_gain, blue_gain : white balance; that of green is 1. rgb_gain : brightening of all channels.
    """

    camera_from_rgb: DoubleArray
    red_gain: float
    blue_gain: float
    rgb_gain: float

    @property
    def gains(self) -> DoubleArray:
        """(3,) white-balance gains of R, G, B, without the brightening."""
        return np.array([self.red_gain, 1.0, self.blue_gain])

    def metadata(self, *, brightened: bool = True) -> ProcessMetadata:
        """Return the metadata with which `isp.process` develops the picture.

        Parameters
        ----------
        brightened : whether to include `rgb_gain`; the losses of the paper do not.
        """
        gains = self.gains * self.rgb_gain if brightened else self.gains
        return ProcessMetadata(gains, np.linalg.inv(self.camera_from_rgb))


def random_look(rng: np.random.Generator, *, wide: bool = True) -> Look:
    """Return a random camera and illuminant.

    Parameters
    ----------
    wide : whether to use the wider white-balance ranges of YOND and, with probability 0.1, a raw signal five times
        brighter; otherwise the ranges of the paper.
    """
    weights = rng.uniform(1e-8, 1e8, len(CAMERA_FROM_XYZ))
    matrix = camera_from_rgb(np.tensordot(weights / weights.sum(), CAMERA_FROM_XYZ, 1))
    red, blue = ((1.4, 2.5), (1.5, 2.4)) if wide else ((1.9, 2.4), (1.5, 1.9))
    numerator = 0.2 if wide and rng.random() < 0.1 else 1.0
    return Look(matrix, rng.uniform(*red), rng.uniform(*blue), numerator / rng.normal(0.8, 0.1))


def inverse_tone(encoded: Floats) -> Floats:
    """Return the inverse of smoothstep: 0.5 - sin(asin(1 - 2x) / 3), x clipped to 0..1."""
    values: Floats = 0.5 - np.sin(np.arcsin(1 - 2 * np.clip(encoded, 0, 1)) / 3)
    return values


def expand_gamma(encoded: Floats) -> Floats:
    """Return linear values of gamma 2.2; values below 1e-8 become 1e-8 first."""
    values: Floats = np.maximum(encoded, 1e-8) ** 2.2
    return values


def linearise(rgb: Picture) -> FloatArray:
    """Return linear float32 values of the same shape for sRGB integers or floats in 0..1.

    Raises
    ------
    InputError: for another type.
    """
    if rgb.dtype in (np.uint8, np.uint16):
        white = 255 if rgb.dtype == np.uint8 else 65535
        return linear_table(white).take(rgb.astype(np.intp))
    if not np.issubdtype(rgb.dtype, np.floating):
        raise InputError(f"a picture must be uint8, uint16 or float in 0..1, not {rgb.dtype}")
    return expand_gamma(inverse_tone(rgb.astype(np.float64))).astype(np.float32)


@lru_cache(maxsize=8)
def linear_table(white: int) -> FloatArray:
    """Return the linear float32 values of the sRGB integers 0..white, (white + 1,), read-only."""
    table = linearise(np.arange(white + 1) / white)
    table.flags.writeable = False
    return table


def unprocess(rgb: Picture, look: Look) -> FloatArray:
    """Return the noise-free mosaic that a camera would have recorded of a picture.

    Parameters
    ----------
    rgb : (H, W, 3) sRGB, uint8, uint16 or float 0..1.
    look : assumed development settings.

    Returns
    -------
    (H, W) float32 RGGB signal, 0..1. Near white the inverse gains fade out, so that highlights stay saturated.

    Raises
    ------
    InputError: for another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise InputError(f"a picture must be an (H, W, 3) array, not {rgb.shape}")
    return camera_mosaic(linearise(rgb), look)


def camera_mosaic(linear: FloatArray, look: Look, pattern: CFAPattern = CFAPattern.RGGB) -> FloatArray:
    """Return the (H, W) float32 signal of (H, W, 3) float32 linear sRGB: `unprocess` without tone and gamma.

    A monochrome pixel sees the mean of the camera's colours, at the gain of green (our choice).
    """
    inverse_gains = 1 / (look.gains * look.rgb_gain)
    grey = look.camera_from_rgb.mean(axis=0).astype(np.float32)
    signal = np.empty(linear.shape[:2], np.float32)
    side = pattern.side
    for place, letter in enumerate(pattern.colours):
        row, column, colour = place // side, place % side, "RWB".find(letter.replace("G", "W"))
        site = linear[row::side, column::side]
        camera = site @ (grey if letter == "W" else look.camera_from_rgb[colour].astype(np.float32))
        bright = np.maximum(site @ grey - np.float32(HIGHLIGHT_FROM), 0) / np.float32(1 - HIGHLIGHT_FROM)
        fade = bright * bright
        gain = np.float32(inverse_gains[colour])
        camera *= np.maximum(fade + (1 - fade) * gain, gain)
        np.clip(camera, 0, 1, out=signal[row::side, column::side])
    return signal
