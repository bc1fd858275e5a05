"""Unprocessing: an sRGB photograph back to the linear mosaic that a camera could have seen.

Source: Brooks et al., "Unprocessing Images for Learned Raw Denoising", CVPR 2019 (arXiv 1811.11127); matrices,
constants and order from its public code (Apache-2.0). The wider gains are those of YOND's training. It is the mirror of
`rawkd.render.isp.process`: below the highlights, processing with `Look.metadata` and then `tone` gives the photograph
back.
Pure numpy; every random number comes from the generator that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.photo import DoubleArray, FloatArray
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
"""(4, 3, 3) XYZ to camera of the four cameras of the Darmstadt Noise Dataset."""

HIGHLIGHT_FROM = 0.9
"""Mean camera colour from which the inverse gains fade, so that white stays saturated."""


@dataclass(frozen=True, eq=False)
class Look:
    """How one picture is taken to have been developed.

    Attributes
    ----------
    camera_from_rgb : (3, 3) linear sRGB to white-balanced camera colour, rows summing to 1.
    red_gain, blue_gain : white balance, green's being 1. rgb_gain : brightening of all channels.
    """

    camera_from_rgb: DoubleArray
    red_gain: float
    blue_gain: float
    rgb_gain: float

    @property
    def gains(self) -> DoubleArray:
        """(3,) multipliers that make camera R, G, B grey, without the brightening."""
        return np.array([self.red_gain, 1.0, self.blue_gain])

    def metadata(self, *, brightened: bool = True) -> ProcessMetadata:
        """What `isp.process` needs to develop the picture; not `brightened` is the paper's own losses' habit."""
        gains = self.gains * self.rgb_gain if brightened else self.gains
        return ProcessMetadata(gains, np.linalg.inv(self.camera_from_rgb))


def random_look(rng: np.random.Generator, *, wide: bool = True) -> Look:
    """A plausible camera and light.

    `wide` draws white balances of many cameras and, one time in ten, a picture five times brighter in the raw (YOND);
    otherwise the paper's own ranges hold.
    """
    weights = rng.uniform(1e-8, 1e8, len(CAMERA_FROM_XYZ))
    matrix = camera_from_rgb(np.tensordot(weights / weights.sum(), CAMERA_FROM_XYZ, 1))
    red, blue = ((1.4, 2.5), (1.5, 2.4)) if wide else ((1.9, 2.4), (1.5, 1.9))
    numerator = 0.2 if wide and rng.random() < 0.1 else 1.0
    return Look(matrix, rng.uniform(*red), rng.uniform(*blue), numerator / rng.normal(0.8, 0.1))


def inverse_tone(encoded: Floats) -> Floats:
    """Inverse of smoothstep: 0.5 - sin(asin(1 - 2x) / 3), x clipped to 0..1."""
    values: Floats = 0.5 - np.sin(np.arcsin(1 - 2 * np.clip(encoded, 0, 1)) / 3)
    return values


def expand_gamma(encoded: Floats) -> Floats:
    """Gamma 2.2 to linear, values below 1e-8 raised to it."""
    values: Floats = np.maximum(encoded, 1e-8) ** 2.2
    return values


def linearise(rgb: Picture, *, with_tone: bool = True) -> FloatArray:
    """sRGB, integers or float 0..1, to linear float32 of the same shape; integers through a table of their values.

    Raises
    ------
    InputError: for another type.
    """
    if rgb.dtype in (np.uint8, np.uint16):
        white = 255 if rgb.dtype == np.uint8 else 65535
        return linear_table(white, with_tone=with_tone).take(rgb.astype(np.intp))
    if not np.issubdtype(rgb.dtype, np.floating):
        raise InputError(f"pictures are uint8, uint16 or float in 0..1, not {rgb.dtype}")
    encoded = rgb.astype(np.float64)
    return expand_gamma(inverse_tone(encoded) if with_tone else encoded).astype(np.float32)


@lru_cache(maxsize=8)
def linear_table(white: int, *, with_tone: bool = True) -> FloatArray:
    """(white + 1,) linear float32 of the sRGB integers 0..white; read-only."""
    table = linearise(np.arange(white + 1) / white, with_tone=with_tone)
    table.flags.writeable = False
    return table


def unprocess(rgb: Picture, look: Look, *, with_tone: bool = True) -> FloatArray:
    """The mosaic that a camera would have recorded of a picture, without noise.

    Parameters
    ----------
    rgb : (H, W, 3) sRGB, uint8, uint16 or float 0..1.
    look : how the picture was developed. with_tone : undo the smoothstep tone too.

    Returns
    -------
    (H, W) float32 RGGB signal in 0..1. Where the picture is nearly white the inverse gains fade away, so that
    highlights stay saturated in the raw.

    Raises
    ------
    InputError: for another shape or type.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise InputError(f"a picture is an (H, W, 3) array, not {rgb.shape}")
    return camera_mosaic(linearise(rgb, with_tone=with_tone), look)


def camera_mosaic(linear: FloatArray, look: Look) -> FloatArray:
    """(H, W, 3) float32 linear sRGB to (H, W) float32 RGGB signal: what `unprocess` does after tone and gamma."""
    inverse_gains = 1 / (look.gains * look.rgb_gain)
    grey = look.camera_from_rgb.mean(axis=0).astype(np.float32)
    signal = np.empty(linear.shape[:2], np.float32)
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        site = linear[row::2, column::2]
        camera = site @ look.camera_from_rgb[colour].astype(np.float32)
        bright = np.maximum(site @ grey - np.float32(HIGHLIGHT_FROM), 0) / np.float32(1 - HIGHLIGHT_FROM)
        fade = bright * bright
        gain = np.float32(inverse_gains[colour])
        camera *= np.maximum(fade + (1 - fade) * gain, gain)
        np.clip(camera, 0, 1, out=signal[row::2, column::2])
    return signal
