"""The denoised mosaic keeps the noisy one's local means: what a network gets wrong on the large scale is put back.

A network trained on an absolute error answers with medians, which in deep shadows lie below the mean: a flat field
would come out a hundredth of its noise too dark. Over a window far wider than the network looks, the mean of the noisy
mosaic is a better estimate than the network's. Our choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]

WINDOW_PX = 128
"""Edge of the blocks whose means are compared, mosaic pixels; a block borrows half its weight from its neighbours."""
OUTLIER_SIGMAS = 5.0
"""Differences are cut off here, so that a hot pixel moves a block's mean by a thousandth of the noise."""
CLIPPING_SIGMAS = 3.0
"""So far must black lie above the smallest integer: cut-off noise has another mean than the signal."""
UNCOUNTED_SIGMAS, COUNTED_SIGMAS = 2.0, 4.0
"""Samples nearer to saturation than the first do not count, for the same reason; from the second on they count wholly.
A ramp, since a sharp choice by the restored level would be a choice by the noise that it still holds."""

LEAST_VARIANCE = 1e-24
"""Of black in a photo that is told no read variance: far below every file's integers."""


def keep_local_mean(
    noisy: FloatArray, restored: FloatArray, noise: NoiseModel, *, floor: float, saturation: float
) -> FloatArray:
    """Shift `restored` by the smooth difference of the local means of both, plane by plane, in place.

    Parameters
    ----------
    noisy, restored : (H, W) float32 signal, RGGB, even-sized.
    floor : signal of the file's smallest integer; where the noise of black reaches it (three deviations), nothing is
        done, since cut-off noise has another mean than the signal.
    saturation : signal at which the sensor clips.

    Returns
    -------
    `restored`, changed.
    """
    if floor > -CLIPPING_SIGMAS * float(np.sqrt(noise.read_variance.max())):
        return restored
    sums, counts = _block_sums(noisy, restored, noise, saturation)
    total = _with_neighbours(counts)
    shift = _with_neighbours(sums) / np.maximum(total, 1)
    # less than a whole block of countable samples among the nine is not wholly to be believed
    shift *= np.minimum(16 * total / (WINDOW_PX // 2) ** 2, 1)
    _add_smooth(restored, shift.astype(np.float32))
    return restored


def _block_sums(
    noisy: FloatArray, restored: FloatArray, noise: NoiseModel, saturation: float
) -> tuple[DoubleArray, DoubleArray]:
    """Sum of cut-off differences and number of countable samples, (block rows, block columns, 4 planes)."""
    height, width = noisy.shape
    shape = -(-height // WINDOW_PX), -(-width // WINDOW_PX), 4
    sums, counts = np.zeros(shape), np.zeros(shape)
    gains, reads = (np.tile(v.reshape(2, 1, 2), (1, width // 2, 1)) for v in (noise.gain, noise.read_variance))
    for index, top in enumerate(range(0, height, WINDOW_PX)):
        strip = slice(top, top + WINDOW_PX)
        difference = noisy[strip] - restored[strip]
        for parity in (0, 1):
            gain, read = gains[parity].ravel(), reads[parity].ravel()
            level = restored[strip][parity::2]
            sample = level[::8]
            means = _block_columns(sample.sum(axis=0)) / _block_columns(np.full(width, float(len(sample))))
            spread = np.repeat(means, WINDOW_PX // 2, axis=0).reshape(-1)[:width]
            limit = (OUTLIER_SIGMAS * np.sqrt(gain * np.maximum(spread, 0) + read)).astype(np.float32)
            rows = difference[parity::2]
            np.clip(rows, -limit, limit, out=rows)
            number = np.full(width, float(len(rows)))
            if level.max() > saturation - limit.max():
                sigma = np.sqrt(np.maximum(gain * np.maximum(level, 0) + read, LEAST_VARIANCE))
                weight = (saturation - level - UNCOUNTED_SIGMAS * sigma) / ((COUNTED_SIGMAS - UNCOUNTED_SIGMAS) * sigma)
                weight = np.clip(weight, 0, 1).astype(np.float32)
                rows *= weight
                number = weight.sum(axis=0, dtype=np.float64)
            planes = slice(2 * parity, 2 * parity + 2)
            sums[index, :, planes] = _block_columns(rows.sum(axis=0))
            counts[index, :, planes] = _block_columns(number)
    return sums, counts


def _block_columns(row: FloatArray | DoubleArray) -> DoubleArray:
    """(W,) -> (block columns, 2): sums over the even and the odd columns of every block."""
    padded = np.zeros(-(-len(row) // WINDOW_PX) * WINDOW_PX)
    padded[: len(row)] = row
    blocks: DoubleArray = padded.reshape(-1, WINDOW_PX // 2, 2).sum(axis=1)
    return blocks


def _with_neighbours(blocks: DoubleArray) -> DoubleArray:
    """Weighted 1-2-1 mean over the blocks beside, in both directions; edges repeat."""
    padded = np.pad(blocks, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    mixed: DoubleArray = (columns[:-2] + 2 * columns[1:-1] + columns[2:]) / 16
    return mixed


def _add_smooth(mosaic: FloatArray, blocks: FloatArray) -> None:
    """Add the bilinear interpolation of the planes' block values, constant beyond the outer blocks' centres."""
    height, width = mosaic.shape
    left, right, share = _between(width // 2, blocks.shape[1])
    upper, lower, part = _between(height // 2, blocks.shape[0])
    across = blocks[:, left] * (1 - share)[None, :, None] + blocks[:, right] * share[None, :, None]
    rows = across.reshape(len(blocks), width // 2, 2, 2).transpose(2, 0, 1, 3).reshape(2, len(blocks), width)
    for row in range(height // 2):
        for parity in (0, 1):
            above, below = rows[parity, upper[row]], rows[parity, lower[row]]
            mosaic[2 * row + parity] += above + part[row] * (below - above)


def _between(size: int, num_blocks: int) -> tuple[IntArray, IntArray, FloatArray]:
    """The blocks before and after every packed position, and how far it lies towards the second."""
    position = np.clip((np.arange(size) + 0.5) / (WINDOW_PX // 2) - 0.5, 0, num_blocks - 1)
    first = position.astype(np.int64)
    return first, np.minimum(first + 1, num_blocks - 1), (position - first).astype(np.float32)
