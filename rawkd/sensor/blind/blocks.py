"""DCT band energies of small blocks of a mosaic: the input of the noise estimator.

A block of 16 x 16 mosaic pixels is four 8 x 8 blocks, one per colour plane. White noise has the same variance in every
coefficient of the orthonormal DCT, so the mean energy of a band needs no correction. A brightness gradient lies in the
coefficients of zero row or column frequency. `NOISE` leaves these out, and `LUMA` uses only the higher ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray, Mosaic
from rawkd.sensor.cfa import Unification

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
    level : (n, 4) float64, mean signal of the planes R, Gr, Gb, B.
    energy : (n, 4) float64, mean squared coefficient over `NOISE` in each plane: noise variance plus fine texture.
    luma_energy : (n,) float64, mean squared coefficient over `LUMA` of the planes' mean: a sixteenth of the sum of
        their noise variances, plus coarser texture.
    """

    level: DoubleArray
    energy: DoubleArray
    luma_energy: DoubleArray

    def where(self, keep: NDArray[np.bool_]) -> BlockStatistics:
        """Return the blocks for which `keep`, (n,), is true."""
        return BlockStatistics(self.level[keep], self.energy[keep], self.luma_energy[keep])


def block_statistics(mosaic: Mosaic, *, saturation: float, num_blocks: int, scale: int = 1) -> BlockStatistics:
    """Return statistics of at most about `num_blocks` blocks, spread evenly over the mosaic.

    Parameters
    ----------
    mosaic : any phase and size; an incomplete block at the right or bottom edge is not used.
    saturation : signal at which the sensor clips. Blocks with more than 0.5 % of their samples near it are left out.
        So are blocks in which two or more planes are constant (saturated or dead areas, borders).
    scale : 1, or 2 to average every plane over 2 x 2 of its pixels first; energies are then multiplied by 4.
    """
    pixels = _sample_blocks(mosaic, num_blocks, scale)
    clipped = (pixels >= np.float32(0.98 * saturation)).mean(axis=(1, 2, 3))
    planes = _planes_of(pixels, scale)
    constant = planes.max(axis=2) == planes.min(axis=2)
    planes = planes[(clipped <= 0.005) & (constant.sum(axis=1) < 2)]
    basis = _dct_basis()
    noise = planes @ basis[:, NOISE]
    luma = planes.mean(axis=1) @ basis[:, LUMA]
    return BlockStatistics(
        level=planes.mean(axis=2, dtype=np.float64),
        energy=np.square(noise).mean(axis=2, dtype=np.float64) * scale**2,
        luma_energy=np.square(luma).mean(axis=1, dtype=np.float64) * scale**2,
    )


def _sample_blocks(mosaic: Mosaic, num_blocks: int, scale: int) -> FloatArray:
    """Return the samples of the chosen blocks, (n, side, 1, side); each block begins at R of an RGGB cell."""
    side = 2 * SIDE * scale
    padding = Unification.of((0, 0), mosaic.pattern)
    data = mosaic.data[padding.top :, padding.left :]
    rows, columns = data.shape[0] // side, data.shape[1] // side
    if rows == 0 or columns == 0:
        return np.empty((0, side, 1, side), np.float32)
    grid = data[: rows * side, : columns * side].reshape(rows, side, columns, side)
    thin = min(1.0, np.sqrt(num_blocks / (rows * columns)))
    chosen_rows = np.linspace(0, rows - 1, max(1, round(rows * thin))).astype(int)
    chosen_columns = np.linspace(0, columns - 1, max(1, round(columns * thin))).astype(int)
    picked = grid[chosen_rows][:, :, chosen_columns]
    return np.ascontiguousarray(picked.swapaxes(1, 2)).reshape(-1, side, 1, side)


def _planes_of(pixels: FloatArray, scale: int) -> FloatArray:
    """Return the planes of each block, (n, 4, 64), averaged over scale x scale pixels."""
    side = SIDE * scale
    cells = pixels.reshape(-1, side, 2, side, 2).transpose(0, 2, 4, 1, 3)
    shifts = [(row, column) for row in range(scale) for column in range(scale)]
    binned = sum((cells[..., row::scale, column::scale] for row, column in shifts), start=np.float32(0))
    return np.ascontiguousarray(binned * np.float32(1 / len(shifts))).reshape(-1, 4, SIDE**2)


def _dct_basis() -> FloatArray:
    """Return the orthonormal DCT-II of an 8 x 8 block as a (64, 64) matrix, pixels to coefficients, row by row."""
    place = np.arange(SIDE)
    rows = np.cos(np.pi * (2 * place + 1) * place[:, None] / (2 * SIDE)) * np.sqrt(2 / SIDE)
    rows[0] /= np.sqrt(2)
    return np.kron(rows, rows).T.astype(np.float32)
