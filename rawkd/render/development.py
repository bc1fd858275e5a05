"""Convert white-balanced planes to encoded pixels: highlights, colour and tone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray, RawPhoto
from rawkd.render.color import ProcessMetadata, color_correct, gamma, viewing_curve, white_balance

BLOWN_FROM = 0.95
"""Fraction of saturation from which a pixel counts as partly blown; at 1 it counts fully (our choice)."""

CURVE_STEPS = 65535


@dataclass(frozen=True, eq=False)
class Development:
    """Converts white-balanced planes to encoded pixels.

    In viewing mode, signal 1 is the lowest saturation of all planes and the smallest gain is 1. Every channel of a
    neutral blown area therefore reaches 1. A blown pixel gives only a lower limit of the light, so it is raised to the
    brightest white-balanced pixel of its cell; grey stays grey however much of it clips. Colours beyond 1 after the
    matrix keep their hue: the largest component becomes 1, the smallest stays, and the middle one keeps its relative
    position. `saturation` is that of the four planes; `curve` is None in metrics mode.
    """

    metadata: ProcessMetadata
    saturation: DoubleArray
    curve: NDArray[Any] | None
    kind: np.dtype[Any]

    @classmethod
    def of(cls, photo: RawPhoto, exposure_ev: float, viewing: bool, kind: np.dtype[Any]) -> Development:
        """Return the conversion for a photo; `kind` is the type of the pixels."""
        metadata = ProcessMetadata.of(photo.color)
        if not viewing:
            return cls(metadata, np.ones(4), None, kind)
        exposure = 2.0 ** (exposure_ev + photo.color.baseline_exposure)
        metadata = ProcessMetadata(metadata.gains / metadata.gains.min(), metadata.rgb_from_camera * exposure)
        curve = quantised(viewing_curve(np.linspace(0.0, 1.0, CURVE_STEPS + 1)), kind)
        return cls(metadata, photo.levels.plane_saturation(photo.pattern), curve, kind)

    def balance(self, planes: FloatArray, gains: FloatArray | None = None) -> FloatArray:
        """White-balance (4, h, w) signal and reconstruct highlights (metrics mode: clip to 0..1 instead).

        `gains` are the gain maps, in the same shape; they apply in viewing mode only. Blown pixels are found in the
        signal before these gains, since the sensor clips before them.
        """
        balanced: FloatArray = white_balance(planes, self.metadata.gains / self.saturation.min())
        if self.curve is None:
            return np.clip(balanced, 0.0, 1.0, out=balanced)
        if gains is not None:
            balanced *= gains
        if planes.max(initial=0.0) > BLOWN_FROM * self.saturation.min():
            steepness = 1 / (self.saturation * (1 - BLOWN_FROM))
            share = planes * steepness.astype(np.float32)[:, None, None] - np.float32(1 / (1 / BLOWN_FROM - 1))
            np.clip(share, 0.0, 1.0, out=share)
            balanced += share * (balanced.max(axis=0) - balanced)
        return balanced

    def encode(self, rgb: FloatArray) -> NDArray[Any]:
        """Convert (3, ..., w) white-balanced camera colour to encoded values of type `kind`, same shape."""
        linear: FloatArray = color_correct(rgb.reshape(3, 1, -1), self.metadata.rgb_from_camera).reshape(rgb.shape)
        if self.curve is None:
            return quantised(gamma(linear), self.kind)
        peak = linear.max(axis=0)
        bright = peak > 1
        if bright.any():
            low = np.clip(linear.min(axis=0), 0.0, 1.0)
            compressed = linear - low
            compressed *= (1 - low) / (np.maximum(peak, 1 + 1e-6) - low)
            np.copyto(linear, np.add(compressed, low, out=compressed), where=bright)
        linear *= np.float32(CURVE_STEPS)
        linear += np.float32(0.5)
        np.clip(linear, 0.0, CURVE_STEPS, out=linear)
        encoded: NDArray[Any] = self.curve.take(linear.astype(np.intp), mode="clip")
        return encoded


def quantised(encoded: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Convert encoded 0..1 to float32, or round it to the range of an integer type."""
    if kind == np.float32:
        return encoded.astype(np.float32)
    rounded: NDArray[Any] = np.rint(encoded * np.iinfo(kind).max).astype(kind)
    return rounded
