"""Bayer unification, packing, and the eight exact symmetries of a mosaic.

Sources: unification by reflect padding after Liu et al., CVPRW 2019 (arXiv 1904.12945); symmetries re-unified so that
a network trained on RGGB alone may be used (our choice). Works on numpy arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rawkd.photo import CFAPattern, FloatArray, Mosaic

RGGB = CFAPattern.RGGB


@dataclass(frozen=True)
class Unification:
    """Rows and columns added on each side to reach an even-sized RGGB mosaic, each 0 or 1, by reflection."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of(cls, shape: tuple[int, int], pattern: CFAPattern) -> Unification:
        """Return the padding that turns a mosaic of `shape` and `pattern` into an even-sized RGGB mosaic."""
        offsets = {"RGGB": (0, 0), "GBRG": (1, 0), "GRBG": (0, 1), "BGGR": (1, 1)}
        top, left = offsets[pattern.value]
        return cls(top, (shape[0] + top) % 2, left, (shape[1] + left) % 2)

    def apply(self, data: FloatArray) -> FloatArray:
        """Pad (H, W) by reflection without repeating the edge, which keeps the CFA phase.

        A mosaic that is one pixel high or wide repeats its only row or column, because reflection needs two.
        """
        if not (self.top or self.bottom or self.left or self.right):
            return data
        mode = "reflect" if min(data.shape) > 1 else "edge"
        return np.pad(data, ((self.top, self.bottom), (self.left, self.right)), mode=mode)  # type: ignore[call-overload,no-any-return]

    def undo(self, data: FloatArray) -> FloatArray:
        """Remove the padding that `apply` added."""
        height, width = data.shape
        return data[self.top : height - self.bottom, self.left : width - self.right]


def unify_bayer(mosaic: Mosaic) -> tuple[FloatArray, Unification]:
    """Return a mosaic of any phase and size padded to an even-sized RGGB one, (H', W') float32, and the padding.

    `Unification.undo` crops the padding exactly.
    """
    unification = Unification.of(mosaic.data.shape, mosaic.pattern)
    return np.ascontiguousarray(unification.apply(mosaic.data)), unification


def pack(rggb: Any) -> Any:
    """Convert an RGGB mosaic, (..., 2h, 2w), to a copy as planes R, Gr, Gb, B, (..., 4, h, w); numpy or torch."""
    planes = [rggb[..., r::2, c::2] for r in (0, 1) for c in (0, 1)]
    if isinstance(rggb, np.ndarray):
        return np.stack(planes, axis=-3)
    import torch

    return torch.stack(planes, dim=-3)


def unpack(planes: FloatArray) -> FloatArray:
    """Convert planes R, Gr, Gb, B, (4, h, w), to an RGGB mosaic, (2h, 2w)."""
    _, h, w = planes.shape
    out = np.empty((2 * h, 2 * w), planes.dtype)
    for plane, (r, c) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        out[r::2, c::2] = planes[plane]
    return out


@dataclass(frozen=True)
class BayerSymmetry:
    """One of the eight symmetries of the square. It is applied to the mosaic: first the transpose, then the flips."""

    flip_rows: bool = False
    flip_columns: bool = False
    transpose: bool = False

    def apply(self, rggb: FloatArray) -> tuple[FloatArray, Unification]:
        """Return the transformed mosaic, padded to RGGB again, and the padding that `undo` must crop.

        Parameters
        ----------
        rggb : (H, W) float32, even-sized RGGB.
        """
        data = rggb.T if self.transpose else rggb
        pattern = RGGB
        if self.flip_rows:
            data, pattern = data[::-1], pattern.shifted(1, 0)
        if self.flip_columns:
            data, pattern = data[:, ::-1], pattern.shifted(0, 1)
        unification = Unification.of(data.shape, pattern)
        return np.ascontiguousarray(unification.apply(data)), unification

    def undo(self, data: FloatArray, unification: Unification) -> FloatArray:
        """Invert `apply` exactly."""
        out = unification.undo(data)
        if self.flip_columns:
            out = out[:, ::-1]
        if self.flip_rows:
            out = out[::-1]
        return out.T if self.transpose else out


IDENTITY = BayerSymmetry()
TRANSPOSE = BayerSymmetry(transpose=True)
SYMMETRIES: dict[int, tuple[BayerSymmetry, ...]] = {
    1: (IDENTITY,),
    2: (IDENTITY, TRANSPOSE),
    4: (IDENTITY, TRANSPOSE, BayerSymmetry(True, True), BayerSymmetry(True, True, True)),
    8: tuple(BayerSymmetry(r, c, t) for t in (False, True) for r in (False, True) for c in (False, True)),
}
"""Symmetries of a self-ensemble of 1, 2, 4 or 8; the identity and the transpose need no padding."""
