"""DCT band energies of small blocks of a mosaic: the input of the noise estimator.

A block of 16 x 16 mosaic pixels is four 8 x 8 blocks, one per colour plane; a block of 24 x 24 pixels of X-Trans is
nine (`cfa.lattices_of`). White noise has the same variance in every coefficient of the orthonormal DCT, so the mean
energy of a band needs no correction. A brightness gradient lies in the coefficients of zero row or column frequency.
`NOISE` leaves these out, and `LUMA` uses only the higher ones.

The planes of a monochrome block see the same scene. So its noise is measured on one plane only, their diagonal detail:
the noise is the same there, and texture is least.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray, Mosaic
from rawkd.sensor.cfa import from_first_cell, lattices_of

SIDE = 8
"""Side of a block in packed pixels."""

_ROW, _COLUMN = np.divmod(np.arange(SIDE**2), SIDE)
_LOW, _HIGH = np.minimum(_ROW, _COLUMN), np.maximum(_ROW, _COLUMN)
NOISE = _LOW >= 3
"""Coefficients used to measure the noise variance: both frequencies at least 3/8 of the plane's Nyquist limit."""
LUMA = ((_LOW >= 1) & ~NOISE) | ((_LOW == 0) & (_HIGH >= SIDE // 2))
"""Coefficients used to detect texture, taken from the mean of the planes: texture is common to them, noise is not."""


@dataclass(frozen=True, eq=False)
class BlockStatistics:
    """Signal level and band energies of n blocks.

    Attributes
    ----------
    level : (n, planes) float64, mean signal of the planes: R, Gr, Gb, B of Bayer.
    energy : (n, planes) float64, mean squared coefficient over `NOISE` in each plane: noise variance plus fine texture;
        of the diagonal detail of a monochrome block, over all coefficients.
    luma_energy : (n,) float64, mean squared coefficient over `LUMA` of the planes' mean: the sum of their noise
        variances over the squared number of planes, plus coarser texture.
    count : number of coefficients behind each energy.
    """

    level: DoubleArray
    energy: DoubleArray
    luma_energy: DoubleArray
    count: int = int(NOISE.sum())

    @cached_property
    def sorted_levels(self) -> tuple[DoubleArray, NDArray[np.intp]]:
        """The levels of all planes in ascending order, and the place of each one of `level` among them."""
        order = np.argsort(self.level, axis=None)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return self.level.reshape(-1)[order], place.reshape(self.level.shape)

    def where(self, keep: NDArray[np.bool_]) -> BlockStatistics:
        """Return the blocks for which `keep`, (n,), is true."""
        return replace(self, level=self.level[keep], energy=self.energy[keep], luma_energy=self.luma_energy[keep])

    def over(self, noise_share: float, luma_share: float) -> BlockStatistics:
        """Return the energies over the shares of the variance that the bands hold, if noise is not white."""
        return replace(self, energy=self.energy / noise_share, luma_energy=self.luma_energy / luma_share)


def block_statistics(mosaic: Mosaic, *, saturation: float, num_blocks: int, scale: int = 1) -> BlockStatistics:
    """Return statistics of at most about `num_blocks` blocks, spread evenly over the mosaic.

    Parameters
    ----------
    mosaic : any phase and size; an incomplete block at the right or bottom edge is not used.
    saturation : signal at which the sensor clips. Blocks with more than 0.5 % of their samples near it are left out.
        So are blocks in which two or more planes are constant (saturated or dead areas, borders).
    scale : 1, or 2 to average every plane over 2 x 2 of its pixels first; energies are then multiplied by 4.
    """
    planes = sampled_planes(mosaic, saturation=saturation, num_blocks=num_blocks, scale=scale)
    basis = dct_basis()
    level = planes.mean(axis=2, dtype=np.float64)
    luma = planes.mean(axis=1) @ basis[:, LUMA]
    luma_energy = np.square(luma).mean(axis=1, dtype=np.float64) * scale**2
    if mosaic.pattern.kind == "mono":
        detail = np.square(planes[:, 0] - planes[:, 1] - planes[:, 2] + planes[:, 3]) / 4
        energy = detail.mean(axis=1, dtype=np.float64)[:, None] * scale**2
        return BlockStatistics(level.mean(axis=1)[:, None], energy, 4 * luma_energy, SIDE**2)
    noise = planes @ basis[:, NOISE]
    return BlockStatistics(level, np.square(noise).mean(axis=2, dtype=np.float64) * scale**2, luma_energy)


def sampled_planes(mosaic: Mosaic, *, saturation: float, num_blocks: int, scale: int = 1) -> FloatArray:
    """Return the planes of blocks (R, Gr, Gb, B of Bayer), (n, planes, 64); parameters as for `block_statistics`."""
    pitch, sites = lattices_of(mosaic.pattern.canonical)
    pixels = _sample_blocks(mosaic, num_blocks, SIDE * pitch * scale)
    clipped = (pixels >= np.float32(0.98 * saturation)).mean(axis=(1, 2, 3))
    planes = _planes_of(pixels, pitch, sites, scale)
    constant = planes.max(axis=2) == planes.min(axis=2)
    kept: FloatArray = planes[(clipped <= 0.005) & (constant.sum(axis=1) < 2)]
    return kept


def _sample_blocks(mosaic: Mosaic, num_blocks: int, side: int) -> FloatArray:
    """Return the pixels of the chosen blocks, (n, side, 1, side); each block begins with a canonical cell."""
    data = from_first_cell(mosaic)
    rows, columns = data.shape[0] // side, data.shape[1] // side
    if rows == 0 or columns == 0:
        return np.empty((0, side, 1, side), np.float32)
    grid = data[: rows * side, : columns * side].reshape(rows, side, columns, side)
    thin = min(1.0, np.sqrt(num_blocks / (rows * columns)))
    chosen_rows = np.linspace(0, rows - 1, max(1, round(rows * thin))).astype(int)
    chosen_columns = np.linspace(0, columns - 1, max(1, round(columns * thin))).astype(int)
    picked = grid[chosen_rows][:, :, chosen_columns]
    return np.ascontiguousarray(picked.swapaxes(1, 2)).reshape(-1, side, 1, side)


def _planes_of(pixels: FloatArray, pitch: int, sites: NDArray[np.intp], scale: int) -> FloatArray:
    """Return the planes of each block, (n, planes, 64), averaged over scale x scale pixels.

    Parameters
    ----------
    pitch, sites : of the lattices of the planes (`cfa.lattices_of`).
    """
    side = SIDE * scale
    point = np.arange(side)
    site = sites[:, point[:, None] % 2, point[None, :] % 2]
    place = (pitch * point[:, None] + site[..., 0]) * (pitch * side) + pitch * point + site[..., 1]
    flat = pixels.reshape(len(pixels), (pitch * side) ** 2)
    cells = flat.take(place.ravel(), axis=1).reshape(-1, len(sites), side, side)
    shifts = [(row, column) for row in range(scale) for column in range(scale)]
    binned = sum((cells[..., row::scale, column::scale] for row, column in shifts), start=np.float32(0))
    return np.ascontiguousarray(binned * np.float32(1 / len(shifts))).reshape(-1, len(sites), SIDE**2)


def dct_basis() -> FloatArray:
    """Return the orthonormal DCT-II of an 8 x 8 block as a (64, 64) matrix, pixels to coefficients, row by row."""
    return np.kron(dct(), dct()).T.astype(np.float32)


def dct() -> DoubleArray:
    """Return the orthonormal DCT-II of 8 pixels as an (8, 8) matrix, one row a frequency."""
    place = np.arange(SIDE)
    rows = np.cos(np.pi * (2 * place + 1) * place[:, None] / (2 * SIDE)) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)
