"""Add values of blocks to the pixels of a mosaic, interpolated so that no edge of a block shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, FloatArray
from rawkd.restore.strips import in_strips
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]

STRIP_PX = 132
"""About the number of rows of a strip; no result depends on it."""


def add_smooth(
    mosaic: FloatArray,
    blocks: FloatArray,
    cell: CFAPattern,
    block_cells: int,
    *,
    noise: NoiseModel | None = None,
    threads: int | None = None,
) -> None:
    """Add the block values of each class to its pixels, in place.

    Values are interpolated bilinearly, and constant beyond the outer block centres.

    Parameters
    ----------
    mosaic : (H, W) float32 signal, whole cells of the canonical pattern `cell`.
    blocks : (block rows, block columns, classes) float32, signal; with `noise`, standard deviations of each pixel's
        noise.
    block_cells : edge of a block, cells. noise : of the mosaic, or None.
    threads : number of threads; None is one for each core that the process may use.
    """
    (height, width), side = mosaic.shape, cell.side
    left, right, share = _between(width // side, blocks.shape[1], block_cells)
    upper, lower, part = _between(height // side, blocks.shape[0], block_cells)
    by_class = np.ascontiguousarray(blocks.transpose(2, 0, 1))
    sigma = _Sigma(noise, cell, width) if noise else None

    def add_strip(strip: slice) -> None:
        first, last = strip.start // side, strip.stop // side
        top = upper[first]
        some = by_class[:, top : lower[last - 1] + 1]
        across = some[..., left] + share * (some[..., right] - some[..., left])
        rows = [across[classes].transpose(1, 2, 0).reshape(-1, width) for classes in cell.class_of_site]
        for block in range(upper[first], upper[last - 1] + 1):
            start, stop = (max(first, min(last, int(end))) for end in np.searchsorted(upper, (block, block + 1)))
            weight = part[start:stop, None]
            below = lower[start]
            for parity in range(side):
                level = mosaic[side * start : side * stop][parity::side]
                values = rows[parity]
                shift = weight * (values[below - top] - values[block - top])
                shift += values[block - top]
                level += shift * sigma.at(level, parity) if sigma else shift

    in_strips(add_strip, height, STRIP_PX // side * side, threads)


class _Sigma:
    """The noise of the pixels of rows of a mosaic."""

    def __init__(self, noise: NoiseModel, cell: CFAPattern, width: int) -> None:
        self._gains, self._reads = (
            np.tile(values[cell.class_of_site], (1, width // cell.side)).astype(np.float32)
            for values in (noise.gain, noise.read_variance)
        )

    def at(self, level: FloatArray, parity: int) -> FloatArray:
        """Return the standard deviation at levels (rows, W) of one row of the cell."""
        variance: FloatArray = np.maximum(level, 0) * self._gains[parity]
        variance += self._reads[parity]
        return np.sqrt(variance, out=variance)


def _between(size: int, num_blocks: int, cells: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the blocks of `cells` before and after each packed position, and the weight of the second one, 0..1."""
    position = np.clip((np.arange(size) + 0.5) / cells - 0.5, 0, num_blocks - 1)
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, num_blocks - 1), (position - first).astype(np.float32)
