"""Sample blocks of a raw frame, by the sites of its CFA cell, for measuring noise between frames.

Every site of the cell is a plane, because whole rows and columns of it are rows and columns of the sensor, whose common
noise can then be removed. Measurements of the planes are averaged over the noise classes. Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, DoubleArray, FloatArray, RawPhoto
from rawkd.sensor.cfa import from_first_cell

BLOCK_CELLS = {2: 16, 6: 8}
"""Side of a block in cells, by the side of the cell: 32 pixels, 48 of X-Trans."""
DARK = 0.5
"""Ratio of signal to single-pixel noise below which a frame counts as dark."""


@dataclass(frozen=True, eq=False)
class FrameSample:
    """Blocks of one frame.

    Attributes
    ----------
    name : file name. cell : canonical pattern of the frame.
    blocks : (n, planes, side, side) float32 signal of the sites of the cell, row by row (R, Gr, Gb, B of Bayer), at the
        same positions in every frame; side 16, or 8 of X-Trans.
    num_rows : number of rows of each plane that contain blocks.
    saturation, floor : signal at or above which, and at or below which, a sample is clipped.
    """

    name: str
    cell: CFAPattern
    blocks: FloatArray
    num_rows: int
    saturation: float
    floor: float

    @property
    def levels(self) -> DoubleArray:
        """Mean signal of the blocks, (n, planes)."""
        return np.asarray(self.blocks.mean(axis=(2, 3), dtype=np.float64))


def sample_frame(photo: RawPhoto, name: str, num_blocks: int) -> FrameSample:
    """Return blocks of a frame, spread evenly over its active area.

    Parameters
    ----------
    num_blocks : largest number of blocks of 1024 pixels, approximately; there are fewer of larger blocks.
    """
    levels, data = photo.levels, from_first_cell(photo.mosaic)
    period = photo.pattern.side
    cells = BLOCK_CELLS[period]
    side = period * cells
    rows, columns = data.shape[0] // side, data.shape[1] // side
    grid = data[: rows * side, : columns * side].reshape(rows, cells, period, columns, cells, period)
    thin = min(1.0, float(np.sqrt(num_blocks * 1024 / side**2 / max(rows * columns, 1))))
    if rows and columns:
        chosen = np.linspace(0, rows - 1, max(1, round(rows * thin))).astype(int)
        rows, grid = len(chosen), grid[chosen]
        grid = grid[:, :, :, np.linspace(0, columns - 1, max(1, round(columns * thin))).astype(int)]
    blocks = grid.transpose(0, 3, 2, 5, 1, 4).reshape(-1, period**2, cells, cells)
    half_dn = 0.5 / levels.range_dn
    ends = levels.saturation - half_dn, levels.floor + half_dn
    return FrameSample(name, photo.pattern.canonical, np.ascontiguousarray(blocks), rows * cells, *ends)


def of_classes(values: DoubleArray, cell: CFAPattern) -> DoubleArray:
    """Return the means over the planes of each noise class, (n, planes) to (n, classes); unchanged for Bayer."""
    classes = cell.class_of_site.ravel()
    return np.stack([values[:, classes == one].mean(axis=1) for one in range(len(cell.classes))], axis=1)


def planes_of_classes(cell: CFAPattern) -> DoubleArray:
    """Return the number of planes of each noise class, (classes,)."""
    return np.bincount(cell.class_of_site.ravel()).astype(np.float64)


def rows_of_classes(cell: CFAPattern) -> DoubleArray:
    """Return how many rows of the cell a class is spread over, (classes,): the inverse sum of the squared shares.

    That many times less row noise is left in the mean of the class than in that of one row.
    """
    classes = cell.class_of_site
    counts = np.stack([(classes == one).sum(axis=1) for one in range(len(cell.classes))])
    return np.asarray(1 / np.square(counts / counts.sum(axis=1, keepdims=True)).sum(axis=1))


def is_dark(frame: FrameSample) -> NDArray[np.bool_]:
    """Return for each plane whether its mean signal is below half its noise, (planes,), as with the lens cap on."""
    spread = np.sqrt(np.square(without_lines(frame.blocks)).mean(axis=(0, 2, 3)))
    return np.asarray(np.abs(frame.levels.mean(axis=0)) < DARK * spread)


def without_lines(blocks: FloatArray) -> FloatArray:
    """Return the blocks without their row and column means."""
    rows, columns = blocks.mean(axis=-1, keepdims=True), blocks.mean(axis=-2, keepdims=True)
    return np.asarray(blocks - rows - columns + rows.mean(axis=-2, keepdims=True))
