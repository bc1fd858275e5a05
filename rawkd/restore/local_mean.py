"""Restore the local mean of the noisy mosaic after denoising.

A network trained on an absolute error predicts medians. In deep shadows the median lies below the mean, so a flat field
would come out too dark by a hundredth of its noise. Over a window much wider than the network's receptive field, the
mean of the noisy mosaic is a better estimate than the network's. Our choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, DoubleArray, FloatArray
from rawkd.restore.clipped_mean import RaisedMean
from rawkd.restore.strips import in_strips
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]

WINDOW_PX = 128
"""Largest edge of the blocks whose means are compared, mosaic pixels; along each axis half the weight is the
neighbours'."""
OUTLIER_SIGMAS = 5.0
"""Differences are clipped here, so that a hot pixel moves a block's mean by only a thousandth of the noise."""
CLIPPING_SIGMAS = 3.0
"""If black lies less than this far above the smallest integer, clipping raises the mean of noise (`clipped_mean`)."""
LEAST_ROOM_SIGMAS = 0.75
"""If black lies less than this far above it, nothing is changed: a read variance that is wrong by half would change the
mean by more than the network's error."""
NO_WEIGHT_SIGMAS, FULL_WEIGHT_SIGMAS = 2.0, 4.0
"""Distances below saturation at which a pixel has weight 0 and weight 1, since clipping changes the mean there too. The
weight is a ramp: a hard threshold on the restored level would select pixels by the noise that is left in them."""

MIN_VARIANCE = 1e-24
"""Variance used where the noise model gives none for black: far below the step of any file's integers."""


def window_px(side: int) -> int:
    """Return the edge of a block: the cell's side times the largest power of two that fits into `WINDOW_PX`."""
    return side << (WINDOW_PX // side).bit_length() - 1


def keep_local_mean(
    noisy: FloatArray,
    restored: FloatArray,
    noise: NoiseModel,
    *,
    floor: float,
    saturation: float,
    cell: CFAPattern = CFAPattern.RGGB,
    threads: int | None = None,
) -> FloatArray:
    """Shift `restored` by the smoothed difference of the two local means, class by class, in place.

    Parameters
    ----------
    noisy, restored : (H, W) float32 signal, whole cells of the canonical pattern `cell`.
    floor : signal of the file's smallest integer. Clipping there raises the mean of the noise, which is allowed for;
        nothing is changed if it lies within 0.75 noise standard deviations of black.
    saturation : signal at which the sensor clips.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    `restored`, changed.
    """
    dark = float(np.sqrt(noise.read_variance.max()))
    if floor > -LEAST_ROOM_SIGMAS * dark:
        return restored
    raised = None
    if floor > -CLIPPING_SIGMAS * dark:
        pairs = zip(noise.gain.tolist(), noise.read_variance.tolist(), strict=True)
        raised = [RaisedMean.of(gain, read, floor) for gain, read in pairs]
    sums, counts = _block_sums(noisy, restored, noise, saturation, cell, raised, threads)
    total = _with_neighbours(counts)
    shift = _with_neighbours(sums) / np.maximum(total, 1)
    # damp the shift where the nine blocks together hold less than one block's weight of usable pixels
    sites = np.bincount(cell.class_of_site.ravel())
    shift *= np.minimum(16 * total / (sites * (window_px(cell.side) // cell.side) ** 2), 1)
    _add_smooth(restored, shift.astype(np.float32), cell, threads)
    return restored


def _block_sums(
    noisy: FloatArray,
    restored: FloatArray,
    noise: NoiseModel,
    saturation: float,
    cell: CFAPattern,
    raised: list[RaisedMean] | None,
    threads: int | None,
) -> tuple[DoubleArray, DoubleArray]:
    """Return weighted sums of clipped differences and sums of weights, (block rows, block columns, classes).

    Parameters
    ----------
    raised : what clipping adds to the mean of each class; it is taken off, and the weights are those of the slope.
    """
    (height, width), side, window = noisy.shape, cell.side, window_px(cell.side)
    classes = cell.class_of_site
    shape = -(-height // window), -(-width // window), len(cell.classes)
    sums, counts = np.zeros(shape), np.zeros(shape)
    gains, reads = (np.tile(values[classes], (1, width // side)) for values in (noise.gain, noise.read_variance))
    of_class = np.eye(len(cell.classes))[classes]

    def add_strip(strip: slice) -> None:
        index = strip.start // window
        difference = noisy[strip] - restored[strip]
        for parity in range(side):
            gain, read = gains[parity], reads[parity]
            level = restored[strip][parity::side]
            sample = level[:: max(16 // side, 1)]
            number = np.full(width, float(len(sample)))
            means = _block_columns(sample.sum(axis=0), side) / _block_columns(number, side)
            spread = np.repeat(means, window // side, axis=0).reshape(-1)[:width]
            limit = (OUTLIER_SIGMAS * np.sqrt(gain * np.maximum(spread, 0) + read)).astype(np.float32)
            rows = difference[parity::side]
            np.clip(rows, -limit, limit, out=rows)
            number = np.full(width, float(len(rows)))
            if level.max() > saturation - limit.max():
                sigma = np.sqrt(np.maximum(gain * np.maximum(level, 0) + read, MIN_VARIANCE))
                weight = (saturation - level - NO_WEIGHT_SIGMAS * sigma) / (
                    (FULL_WEIGHT_SIGMAS - NO_WEIGHT_SIGMAS) * sigma
                )
                weight = np.clip(weight, 0, 1).astype(np.float32)
                rows *= weight
                number = weight.sum(axis=0, dtype=np.float64)
            total = rows.sum(axis=0)
            if raised is not None:
                tables = [raised[one] for one in classes[parity]]
                added, less = _clipped(sample, tables)
                total, number = (total - added * len(rows) / len(sample), number - less * len(rows) / len(sample))
            sums[index] += _block_columns(total, side) @ of_class[parity]
            counts[index] += _block_columns(number, side) @ of_class[parity]

    in_strips(add_strip, height, window, threads)
    return sums, counts


def _clipped(sample: FloatArray, tables: list[RaisedMean]) -> tuple[DoubleArray, DoubleArray]:
    """Return the sums over the rows of a sample, (W,), of what clipping adds to the mean and takes from its slope.

    Parameters
    ----------
    tables : one for each site of a row of the cell.
    """
    added, less = np.zeros((2, sample.shape[1]))
    for site, table in enumerate(tables):
        values, slope = table.at(sample[:, site :: len(tables)])
        added[site :: len(tables)], less[site :: len(tables)] = values.sum(axis=0), (1 - slope).sum(axis=0)
    return added, less


def _block_columns(row: FloatArray | DoubleArray, side: int) -> DoubleArray:
    """Sum (W,) over the columns of each site in each block -> (block columns, side)."""
    window = window_px(side)
    padded = np.zeros(-(-len(row) // window) * window)
    padded[: len(row)] = row
    blocks: DoubleArray = padded.reshape(-1, window // side, side).sum(axis=1)
    return blocks


def _with_neighbours(blocks: DoubleArray) -> DoubleArray:
    """Return the 1-2-1 weighted mean with the adjacent blocks, along both axes; edge blocks repeat."""
    padded = np.pad(blocks, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    mixed: DoubleArray = (columns[:-2] + 2 * columns[1:-1] + columns[2:]) / 16
    return mixed


def _add_smooth(mosaic: FloatArray, blocks: FloatArray, cell: CFAPattern, threads: int | None) -> None:
    """Add the block values of each class, interpolated bilinearly; constant beyond the outer block centres."""
    (height, width), side = mosaic.shape, cell.side
    cells = window_px(side) // side
    left, right, share = _between(width // side, blocks.shape[1], cells)
    upper, lower, part = _between(height // side, blocks.shape[0], cells)
    across = blocks[:, left] * (1 - share)[None, :, None] + blocks[:, right] * share[None, :, None]
    rows = [across[:, :, classes].reshape(len(blocks), width) for classes in cell.class_of_site]

    def add_strip(strip: slice) -> None:
        first, last = strip.start // side, strip.stop // side
        for block in range(upper[first], upper[last - 1] + 1):
            start, stop = (max(first, min(last, int(end))) for end in np.searchsorted(upper, (block, block + 1)))
            weight = part[start:stop, None]
            below = lower[start]
            for parity in range(side):
                step = rows[parity][below] - rows[parity][block]
                mosaic[side * start : side * stop][parity::side] += rows[parity][block] + weight * step

    in_strips(add_strip, height, window_px(side), threads)


def _between(size: int, num_blocks: int, cells: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return the blocks of `cells` before and after each packed position, and the weight of the second one, 0..1."""
    position = np.clip((np.arange(size) + 0.5) / cells - 0.5, 0, num_blocks - 1)
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, num_blocks - 1), (position - first).astype(np.float32)
