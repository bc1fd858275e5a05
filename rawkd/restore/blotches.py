"""Remove soft blotches: look at the mosaic again at a small scale, where they are as easy to see as grain.

A network sees about 100 pixels around a pixel. Noise that is soft over 30 pixels and more is weak there beside the
grain, so two thirds of it stay, and in smooth skies it shows as blotches of colour. The mean of n samples of a class is
a sample with the noise of a sensor whose gain and read variance are n times smaller. So the mosaic of such means is a
small photo, and the same network removes in it what it could not see in the large one.

The small photo of texture lacks its detail, and the network does worse there. So its answer counts where it is smooth:
on training pictures the weight with the least error fell with its activity, alike at gains of 6e-3 and 2.5e-2. The
network is the one of the large photo, far below the noise that it was trained for; where it fails, its answer is not
smooth. Our choice (docs/training-log.md#blotches).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from rawkd.photo import CFAPattern, FloatArray
from rawkd.restore.clipped_mean import raised_means, too_near_black
from rawkd.restore.local_mean import room_weight
from rawkd.restore.spread import add_smooth
from rawkd.restore.strips import in_strips
from rawkd.sensor.noise import NoiseModel

BLOCK_CELLS = 4
"""Edge of a block, cells: 8 pixels, X-Trans 24. The small photo has a sixteenth of the pixels. Blocks of 16 pixels cost
less and leave more blotches."""
HALF_ACTIVITY = 0.25
"""Activity at which the small photo counts half. Its square is the sum of those of the unevenness of nine blocks, in
deviations of a sample of the small photo, and of the detail in a block, in deviations of a pixel."""
OF_SLOPE = (1 - 1 / BLOCK_CELLS**2) / 12
"""Variance in a block of a plane whose step from block to block is 1."""
MOST_SIGMAS = 3.0
"""Differences beyond this, in deviations of a sample of the small photo, are no noise and are clipped."""
LEAST_VARIANCE = 1e-12
"""Variance that stands for none, so that it can divide."""
STRIP_BLOCKS = 16
"""Rows of blocks that are compared at a time; no result depends on it."""
LEAST_BLOCKS = 8
"""Fewest blocks along each axis for which the small photo is looked at."""
LEAST_GAIN = 1e-3
"""Gain below which nothing is done. Blotches are a few thousandths of the level there, and what the small photo takes
for noise may be a faint nebula: at 3e-4 it keeps a third of soft waves of a tenth of the noise."""


def remove_blotches(
    noisy: FloatArray,
    restored: FloatArray,
    noise: NoiseModel,
    denoise: Callable[[FloatArray, NoiseModel], FloatArray],
    *,
    floor: float,
    saturation: float,
    cell: CFAPattern = CFAPattern.RGGB,
    threads: int | None = None,
) -> FloatArray:
    """Shift the blocks of `restored` to the means that the network finds in the small photo, in place.

    Parameters
    ----------
    noisy, restored : (H, W) float32 signal, whole cells of the canonical pattern `cell`. noise : of `noisy`.
    denoise : restores a mosaic with the given noise.
    floor : signal of the file's smallest integer. What clipping there adds to means is taken off; nothing is changed
        where it leaves nothing of them (`too_near_black`), below a gain of 1e-3, and in pictures of less than 8 blocks.
    saturation : signal at which the sensor clips.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    `restored`, changed.
    """
    cells = BLOCK_CELLS
    seen = noise.green_gain >= LEAST_GAIN and min(noisy.shape) >= LEAST_BLOCKS * cells * cell.side
    if not seen or too_near_black(noise, floor):
        return restored
    small_noise = _noise_of_means(noise)
    small, _ = _small(noisy, cell, threads)
    before, detail = _small(restored, cell, threads, with_detail=True)
    for classes, table in enumerate(raised_means(noise, floor)):
        of_class = np.tile(cell.class_of_site == classes, np.array(small.shape) // cell.side)
        small[of_class] -= table.at(before[of_class])[0]
    found = denoise(small, small_noise), before, detail
    after, before, detail = (_colour_means(mosaic, cell) for mosaic in found)
    shift, around = np.empty_like(before), np.pad(after, ((1, 1), (1, 1), (0, 0)), "edge")

    def find_shift(rows: slice) -> None:
        sigma, small_sigma = (_sigma(before[rows], of_samples) for of_samples in (noise, small_noise))
        weight = room_weight((saturation - before[rows]) / sigma)
        uneven, slope = _unevenness(around[rows.start : rows.stop + 2])
        in_block = np.maximum(detail[rows] - OF_SLOPE * slope, 0)
        activity = uneven / small_sigma**2 + in_block / sigma**2
        weight /= 1 + activity.max(axis=2, keepdims=True) / HALF_ACTIVITY**2
        limit = MOST_SIGMAS * small_sigma
        shift[rows] = weight * np.clip(after[rows] - before[rows], -limit, limit)

    in_strips(find_shift, len(shift), STRIP_BLOCKS, threads)
    add_smooth(restored, shift, cell, cells, threads=threads)
    return restored


def _noise_of_means(noise: NoiseModel) -> NoiseModel:
    """Return the noise of the means of blocks; the means themselves count as independent.

    Neighbours that are correlated by r raise the variance of a mean by 1 + 2 r (n - 1) / n for each axis, where n is
    the number of samples along it.
    """
    raised = 2 * (BLOCK_CELLS - 1) / BLOCK_CELLS * np.clip(noise.correlation or (0.0, 0.0), 0, None)
    part = float(np.prod(1 + raised)) / BLOCK_CELLS**2
    return replace(noise, gain=noise.gain * part, read_variance=noise.read_variance * part, correlation=None)


def _sigma(signal: FloatArray, noise: NoiseModel) -> FloatArray:
    """Return the noise of samples, (rows, columns, classes)."""
    variance = noise.variance(np.moveaxis(signal, 2, 0).astype(np.float64))
    return np.sqrt(np.maximum(np.moveaxis(variance, 0, 2), LEAST_VARIANCE)).astype(np.float32)


def _small(
    mosaic: FloatArray, cell: CFAPattern, threads: int | None, *, with_detail: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Return the mosaics of the means and, if asked for, the variances of the samples of each site in a block."""
    side, cells = cell.side, BLOCK_CELLS
    rows, columns = (length // (side * cells) for length in mosaic.shape)
    means, detail = (np.zeros((side * rows, side * columns), np.float32) for _ in range(2))

    part_of_mean = np.tile(np.eye(side, dtype=np.float32) / np.float32(cells**2), (cells, 1))

    def mean(blocks: FloatArray) -> FloatArray:
        """(block rows, cells, side, W) -> (side block rows, side block columns)."""
        # a product is ten times faster than sums of short rows
        of_rows: FloatArray = blocks.sum(axis=1).reshape(-1, cells * side) @ part_of_mean
        return of_rows.reshape(-1, side * columns)

    def of_strip(strip: slice) -> None:
        blocks = mosaic[strip, : columns * side * cells].reshape(-1, cells, side, columns * side * cells)
        out = slice(strip.start // cells, strip.stop // cells)
        means[out] = mean(blocks)
        if with_detail:
            detail[out] = np.maximum(mean(blocks * blocks) - means[out] ** 2, 0)

    in_strips(of_strip, rows * side * cells, 4 * side * cells, threads)
    return means, detail


def _colour_means(small: FloatArray, cell: CFAPattern) -> FloatArray:
    """Return the mean of each class's colour in each cell, (rows, columns, classes).

    Gr and Gb have one mean: if they were shifted apart, a lattice of two pixels would show.
    """
    side = cell.side
    sites = small.reshape(len(small) // side, side, -1, side).transpose(0, 2, 1, 3)
    members = (cell.colour_of_class[cell.class_of_site] == colour for colour in cell.colour_of_class)
    means: FloatArray = np.stack([sites[:, :, some].mean(axis=2) for some in members], axis=2)
    return means


def _unevenness(blocks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return how far each block and its eight neighbours deviate from a plane, mean square, and the plane's slope.

    Parameters
    ----------
    blocks : (rows + 2, columns + 2, classes).

    Returns
    -------
    Two arrays, (rows, columns, classes) float32; the slope is the sum of the squares of the steps along both axes.
    """
    height, width = blocks.shape[0] - 2, blocks.shape[1] - 2
    centre = blocks[1:-1, 1:-1]
    # less the centre, so that float32 holds the squares of small differences
    differences = [blocks[y : y + height, x : x + width] - centre for y in range(3) for x in range(3)]
    squares, total = sum(one * one for one in differences), sum(differences)
    down, right = (
        sum(factor * one for factor, one in zip(factors, differences, strict=True) if factor)
        for factors in ((-1, -1, -1, 0, 0, 0, 1, 1, 1), (-1, 0, 1) * 3)
    )
    # the nine places of a plane have squares that sum to 6 times those of its steps, which are down / 6 and right / 6
    slope = (down * down + right * right) / 36
    uneven = (squares - total * total / 9 - 6 * slope) / 9
    return np.asarray(np.maximum(uneven, 0), np.float32), np.asarray(slope, np.float32)
