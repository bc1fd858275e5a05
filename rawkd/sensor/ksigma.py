"""The k-sigma transform maps the noise of any camera to the noise that a model was trained with.

Source: PMRID, Wang et al., ECCV 2020, section 3.2, in the anchored form of its code (MegEngine/PMRID, Apache-2.0).
With x ~ gain * Poisson(x*/gain) + N(0, read), y = scale * x + offset has Var y = k_A * E[y] + v_A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawkd.errors import NoiseError
from rawkd.photo import CFAPattern, DoubleArray
from rawkd.sensor.noise import NoiseModel


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


def _per_plane(values: DoubleArray, like: Any) -> Any:
    """Reshape (planes,) to (planes, 1, 1) float32: numpy if `like` is numpy, else a torch tensor on its device."""
    column = values.astype(np.float32)[:, None, None]
    if isinstance(like, np.ndarray):
        return column
    import torch

    return torch.from_numpy(column).to(like.device)
