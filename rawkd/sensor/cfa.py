"""Unification, packing, and the eight exact symmetries of a mosaic of any CFA.

Sources: unification by reflect padding after Liu et al., CVPRW 2019 (arXiv 1904.12945); symmetries re-unified so that
a network trained on the canonical phase alone may be used (our choice).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import isqrt
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.photo import CFAPattern, FloatArray, FrameArray, Mosaic

IntArray = NDArray[np.intp]
RGGB = CFAPattern.RGGB
AnyPixels = TypeVar("AnyPixels", FloatArray, FrameArray)


@dataclass(frozen=True)
class Unification:
    """Rows and columns added on each side to reach a mosaic of whole canonical cells, by reflection.

    Attributes
    ----------
    top, bottom, left, right : pixels, each below the side of the cell.
    cell : the canonical pattern of the result.
    """

    top: int
    bottom: int
    left: int
    right: int
    cell: CFAPattern = RGGB

    @classmethod
    def of(cls, shape: tuple[int, int], pattern: CFAPattern) -> Unification:
        """Return the padding that turns a mosaic of `shape` and `pattern` into whole canonical cells."""
        top, left = offset_of(pattern)
        return cls(top, -(shape[0] + top) % pattern.side, left, -(shape[1] + left) % pattern.side, pattern.canonical)

    def apply(self, data: FloatArray) -> FloatArray:
        """Pad (H, W) by reflection, which keeps the CFA phase (`padded`).

        Raises
        ------
        InputError: as `padded`.
        """
        pattern = self.cell.shifted(self.top, self.left)
        return padded(data, pattern, (self.top, self.bottom), (self.left, self.right))

    def undo(self, data: FloatArray) -> FloatArray:
        """Remove the padding that `apply` added."""
        height, width = data.shape
        return data[self.top : height - self.bottom, self.left : width - self.right]


@lru_cache(maxsize=64)
def offset_of(pattern: CFAPattern) -> tuple[int, int]:
    """Return how many rows and columns to add at the top and left to reach the canonical phase.

    X-Trans has two answers, 3 pixels apart in both axes; the one with less padding is returned.
    """
    sites, canonical = range(pattern.side), pattern.canonical
    fits = [(top, left) for top in sites for left in sites if canonical.shifted(top, left) == pattern]
    return min(fits, key=lambda fit: (sum(fit), min(fit), fit))


@lru_cache(maxsize=8)
def mirror_axes(cell: CFAPattern) -> frozenset[int]:
    """Return the rows of a canonical cell about which the mosaic is its own mirror image; columns have the same.

    All rows of Bayer and monochrome; those congruent to 2 modulo 3 of X-Trans.
    """
    sites = range(cell.side)
    mirrored = {axis: [cell.colour_at(2 * axis - r, c) for r in sites for c in sites] for axis in sites}
    return frozenset(axis for axis, colours in mirrored.items() if colours == list(cell.colours))


def padded(data: AnyPixels, pattern: CFAPattern, rows: tuple[int, int], columns: tuple[int, int]) -> AnyPixels:
    """Return a mosaic, (H, W), with reflected rows and columns added on its sides; itself if none are added.

    It is reflected about its outermost rows and columns that are mirror axes of the cell, repeatedly if needed, so that
    every pixel has the colour of its place. A mosaic of one row repeats it.

    Parameters
    ----------
    pattern : phase of the mosaic. rows, columns : how many to add before and after.

    Raises
    ------
    InputError: if the mosaic is smaller than a cell, so that no colours can be found for the padding.
    """
    if not (any(rows) or any(columns)):
        return data
    height, width = data.shape
    down = _sources(height, *rows, offset_of(pattern)[0], pattern.canonical)
    right = _sources(width, *columns, offset_of(pattern)[1], pattern.canonical)
    out = np.empty((len(down), len(right)), data.dtype)
    top, left = rows[0], columns[0]
    out[top : top + height, left : left + width] = data
    for part in (slice(top), slice(top + height, None)):
        out[part, left : left + width] = data[down[part]]
    for part in (slice(left), slice(left + width, None)):
        out[:, part] = out[:, left + right[part]]
    return out


def _sources(length: int, before: int, after: int, phase: int, cell: CFAPattern) -> IntArray:
    """Return the row that each row of a padded mosaic is copied from, (before + length + after,); columns likewise.

    Parameters
    ----------
    length : rows of the mosaic. phase : row of the canonical cell at which it begins.
    """
    places = np.arange(-before, length + after)
    if length == 1 and len(mirror_axes(cell)) == cell.side:
        return np.zeros_like(places)
    axes = np.flatnonzero(np.isin((np.arange(length) + phase) % cell.side, tuple(mirror_axes(cell))))
    if len(axes) < 2:
        raise InputError(f"{length} pixels a side are fewer than the {cell.side} of the cell of {cell.name} mosaics")
    while ((places < 0) | (places >= length)).any():
        places = np.where(places < 0, 2 * axes[0] - places, places)
        places = np.where(places >= length, 2 * axes[-1] - places, places)
    return places


def unify(mosaic: Mosaic) -> tuple[FloatArray, Unification]:
    """Return a mosaic of any phase and size padded to whole canonical cells, (H', W') float32, and the padding.

    `Unification.undo` crops the padding exactly.
    """
    unification = Unification.of(mosaic.data.shape, mosaic.pattern)
    return np.ascontiguousarray(unification.apply(mosaic.data)), unification


def from_first_cell(mosaic: Mosaic) -> FloatArray:
    """Return the pixels of a mosaic from its first canonical cell on, (H', W')."""
    top, left = offset_of(mosaic.pattern)
    return mosaic.data[-top % mosaic.pattern.side :, -left % mosaic.pattern.side :]


def pack(mosaic: Any, side: int = 2) -> Any:
    """Convert a canonical mosaic, (..., side h, side w), to a copy as planes, (..., side^2, h, w); numpy or torch.

    There is one plane for each site of the cell, row by row: R, Gr, Gb, B for RGGB.
    """
    planes = [mosaic[..., r::side, c::side] for r in range(side) for c in range(side)]
    if isinstance(mosaic, np.ndarray):
        return np.stack(planes, axis=-3)
    import torch

    return torch.stack(planes, dim=-3)


def unpack(planes: FloatArray) -> FloatArray:
    """Convert the planes of all sites, (side^2, h, w), to the canonical mosaic, (side h, side w)."""
    side, (_, h, w) = isqrt(len(planes)), planes.shape
    out = np.empty((side * h, side * w), planes.dtype)
    for plane in range(side**2):
        out[plane // side :: side, plane % side :: side] = planes[plane]
    return out


@lru_cache(maxsize=8)
def lattices_of(cell: CFAPattern) -> tuple[int, IntArray]:
    """Return planes of one colour whose pixels lie on square lattices, so that their spectra can be measured.

    The planes of Bayer and monochrome are the sites of the cell. X-Trans has nine with a pitch of 3 pixels: five exact
    ones of green, two each of R and B, whose pixels lie half a pixel off their lattice, alternately on either side (a
    half cell is the transposed other half with R and B exchanged).

    Returns
    -------
    The pitch in pixels, and (planes, 2, 2, 2) row and column in the cell of the pixel of each plane at even and odd
    lattice points; the axes are plane, parity of the lattice row, parity of the lattice column, (row, column).
    """
    if cell.kind != "xtrans":
        sites = [np.full((2, 2, 2), (row, column)) for row in (0, 1) for column in (0, 1)]
        return 2, np.array(sites)
    planes = []
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (0, 2), (2, 1), (1, 2), (2, 0)):
        other = (row, column) if cell.colour_at(row, column) == "G" else (column, row)
        planes.append([[(row, column), other], [other, (row, column)]])
    return 3, np.array(planes)


@dataclass(frozen=True)
class Symmetry:
    """One of the eight symmetries of the square. It is applied to the mosaic: first the transpose, then the flips.

    Attributes
    ----------
    flip_rows, flip_columns, transpose : the operation.
    exchange : whether red pixels then stand for blue ones and blue for red, which saves padding where the operation
        turns a cell into the one with R and B exchanged. Their noise must be exchanged too (`KSigma.exchanged`).
    """

    flip_rows: bool = False
    flip_columns: bool = False
    transpose: bool = False
    exchange: bool = False

    def apply(self, mosaic: FloatArray, cell: CFAPattern = RGGB) -> tuple[FloatArray, Unification]:
        """Return the transformed mosaic, padded to canonical cells again, and the padding that `undo` must crop.

        Parameters
        ----------
        mosaic : (H, W) float32, whole canonical cells. cell : their pattern.
        """
        data = mosaic.T if self.transpose else mosaic
        data = data[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        unification = Unification.of(data.shape, self.pattern_of(cell))
        return np.ascontiguousarray(unification.apply(data)), unification

    def pattern_of(self, cell: CFAPattern) -> CFAPattern:
        """Return the pattern of a transformed mosaic of whole cells."""
        turned = cell.transposed() if self.transpose else cell
        turned = turned.flipped(rows=self.flip_rows, columns=self.flip_columns)
        return turned.exchanged() if self.exchange else turned

    def undo(self, data: FloatArray, unification: Unification) -> FloatArray:
        """Invert `apply` exactly."""
        out = unification.undo(data)[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return out.T if self.transpose else out


IDENTITY = Symmetry()
TRANSPOSE = Symmetry(transpose=True)
SYMMETRIES: dict[int, tuple[Symmetry, ...]] = {
    1: (IDENTITY,),
    2: (IDENTITY, TRANSPOSE),
    4: (IDENTITY, TRANSPOSE, Symmetry(True, True), Symmetry(True, True, True)),
    8: tuple(Symmetry(r, c, t) for t in (False, True) for r in (False, True) for c in (False, True)),
}
"""Symmetries of a self-ensemble of 1, 2, 4 or 8; the identity and the transpose need no padding."""


def symmetries_of(cell: CFAPattern, members: int) -> tuple[Symmetry, ...]:
    """Return the symmetries of a self-ensemble of 1, 2, 4 or 8 for a CFA.

    A transposed X-Trans cell is the cell with R and B exchanged, so these members exchange the two colours.
    """
    swaps = cell.kind == "xtrans"
    return tuple(replace(symmetry, exchange=swaps and symmetry.transpose) for symmetry in SYMMETRIES[members])
