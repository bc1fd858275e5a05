"""The k-sigma transform maps the noise of any camera to the noise that a model was trained with.

Source: PMRID, Wang et al., ECCV 2020, section 3.2, in the anchored form of its code (MegEngine/PMRID, Apache-2.0).
With x ~ gain * Poisson(x*/gain) + N(0, read), y = scale * x + offset has Var y = k_A * E[y] + v_A.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rawkd.errors import NoiseError
from rawkd.photo import CFAPattern, DoubleArray, FloatArray
from rawkd.sensor.noise import NoiseModel

STRIP_ROWS = 32
"""Rows of packed planes that are transformed at a time."""


@dataclass(frozen=True)
class Anchor:
    """The noise that a model was trained with: gain k_A and read variance v_A, signal units."""

    gain: float
    read_variance: float


@dataclass(frozen=True, eq=False)
class KSigma:
    """y = scale * x + offset, for each noise class or, after `spread`, for each plane.

    Attributes
    ----------
    scale, offset : (classes,) or (planes,) float64.
    """

    scale: DoubleArray
    offset: DoubleArray

    @classmethod
    def between(cls, noise: NoiseModel, anchor: Anchor) -> KSigma:
        """Return the transform from a photo's noise to the anchor.

        With gain a and read variance b: scale = k_A/a, offset = (b/a^2 - v_A/k_A^2) * k_A.
        """
        a, b = noise.gain, noise.read_variance
        return cls(anchor.gain / a, (b / a**2 - anchor.read_variance / anchor.gain**2) * anchor.gain)

    def spread(self, cell: CFAPattern) -> KSigma:
        """Return the transform of each plane of a packed mosaic, (side^2,), from that of each noise class.

        Raises
        ------
        NoiseError: if the transform has not the classes of the mosaic.
        """
        if self.scale.shape != (len(cell.classes),):
            raise NoiseError(
                f"noise parameters of {self.scale.size} classes do not fit a sensor with {len(cell.classes)}"
            )
        classes = cell.class_of_site.ravel()
        return KSigma(self.scale[classes], self.offset[classes])

    def exchanged(self) -> KSigma:
        """Return the transform of the classes for mosaics whose R and B have traded places."""
        return KSigma(self.scale[::-1], self.offset[::-1])

    def apply(self, planes: Any) -> Any:
        """Transform signal, (..., planes, h, w), to anchored values, float32; numpy or torch."""
        return planes * _per_plane(self.scale, planes) + _per_plane(self.offset, planes)

    def invert(self, planes: Any) -> Any:
        """Transform anchored values, (..., planes, h, w), back to signal; invert(apply(x)) equals x to a few ulp."""
        return (planes - _per_plane(self.offset, planes)) / _per_plane(self.scale, planes)

    def pack(self, mosaic: FloatArray, side: int) -> FloatArray:
        """Return `apply(cfa.pack(mosaic, side))`, (side^2, h, w) float32, strip by strip to stay within the cache."""
        height, width = (size // side for size in mosaic.shape)
        planes = np.empty((side**2, height, width), np.float32)
        for rows, plane, scale, offset in self._parts(height):
            strip = planes[plane, rows]
            np.multiply(mosaic[plane // side :: side, plane % side :: side][rows], scale, out=strip)
            strip += offset
        return planes

    def unpack(self, planes: FloatArray, out: FloatArray) -> None:
        """Write `cfa.unpack(invert(planes))` to `out`, (side h, side w) float32, strip by strip.

        Parameters
        ----------
        planes : (side^2, h, w) float32 anchored values.
        """
        side = out.shape[0] // planes.shape[1]
        for rows, plane, scale, offset in self._parts(planes.shape[1]):
            site = out[plane // side :: side, plane % side :: side]
            np.divide(planes[plane, rows] - offset, scale, out=site[rows])

    def _parts(self, height: int) -> Iterator[tuple[slice, int, np.float32, np.float32]]:
        """Yield rows of a strip, plane, and its scale and offset: all planes of one strip after another."""
        values = list(zip(self.scale.astype(np.float32), self.offset.astype(np.float32), strict=True))
        for top in range(0, height, STRIP_ROWS):
            for plane, (scale, offset) in enumerate(values):
                yield slice(top, top + STRIP_ROWS), plane, scale, offset


def _per_plane(values: DoubleArray, like: Any) -> Any:
    """Reshape (planes,) to (planes, 1, 1) float32: numpy if `like` is numpy, else a torch tensor on its device."""
    column = values.astype(np.float32)[:, None, None]
    if isinstance(like, np.ndarray):
        return column
    import torch

    return torch.from_numpy(column).to(like.device)
