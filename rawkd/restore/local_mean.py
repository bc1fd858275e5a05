"""Restore the local mean of the noisy mosaic after denoising.

A network trained on an absolute error predicts medians. In deep shadows the median lies below the mean, so a flat field
would come out too dark by a hundredth of its noise. Over a window much wider than the network's receptive field, the
mean of the noisy mosaic is a better estimate than the network's.

Differences are compared and added in units of each pixel's noise, because that is what a network errs by: an error in a
lamp, a hundredth of its light, would be a fifth of the light of the dark beside it. Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from rawkd.photo import CFAPattern, DoubleArray, FloatArray
from rawkd.restore.clipped_mean import RaisedMean, raised_means, too_near_black
from rawkd.restore.spread import add_smooth
from rawkd.restore.strips import in_strips
from rawkd.sensor.noise import NoiseModel

WINDOW_PX = 128
"""Largest edge of the blocks whose means are compared, mosaic pixels; along each axis half the weight is the
neighbours'."""
OUTLIER_SIGMAS = 5.0
"""Differences are clipped here, so that a hot pixel moves a block's mean by only a thousandth of the noise."""
PATCH_PX = 8
"""Edge of the patches, mosaic pixels (X-Trans: 12), whose mean level says how noisy and how near to saturation their
pixels are. The restored level of one pixel cannot say it: it holds a part of that pixel's noise, so it would select
pixels by their noise."""
AnyFloats = TypeVar("AnyFloats", DoubleArray, FloatArray)

NO_WEIGHT_SIGMAS, ROOM_SIGMAS = 2.0, 2.0
"""Up to the first distance from saturation, in deviations of the noise, a patch has weight 0, since clipping changes
the mean there too; the weight rises to 1 over the second. Distances are counted from the patch's mean plus the
deviation of its texture."""

LOWERING = 4
"""Part of the window over which means are lowered where clipping hides them. They are off by a tenth of the noise and
more there, which shows in areas smaller than the window."""
LEAST_SIGMA = 1e-5
"""Least noise that a difference is compared with, a sixth of a step of 14 bits: where a noise model gives none, the
rounding of the network would count."""


def window_px(side: int) -> int:
    """Return the edge of a block: the cell's side times the largest power of two that fits into `WINDOW_PX`."""
    return side << (WINDOW_PX // side).bit_length() - 1


def room_weight(room: AnyFloats) -> AnyFloats:
    """Return the weight of means at a distance from saturation, in deviations of the noise."""
    weight: AnyFloats = np.clip((room - NO_WEIGHT_SIGMAS) / ROOM_SIGMAS, 0, 1)
    return weight


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
    """Shift `restored` by the smoothed difference of the two local means in units of noise, class by class, in place.

    Parameters
    ----------
    noisy, restored : (H, W) float32 signal, whole cells of the canonical pattern `cell`.
    floor : signal of the file's smallest integer. Clipping there raises the mean of the noise, which is allowed for.
        Within 0.75 noise standard deviations of black it hides the mean, and means are only lowered: what lies above
        the mean of clipped noise is too bright in any case.
    saturation : signal at which the sensor clips.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    `restored`, changed.
    """
    only_lowers = too_near_black(noise, floor)
    raised = () if only_lowers else raised_means(noise, floor)
    window = window_px(cell.side) // (LOWERING if only_lowers else 1)
    sums, counts = _block_sums(noisy, restored, noise, saturation, cell, raised, window, threads)
    total = _with_neighbours(counts)
    shift = _with_neighbours(sums) / np.maximum(total, 1)
    # damp the shift where the nine blocks together hold less than one block's weight of usable pixels
    sites = np.bincount(cell.class_of_site.ravel())
    shift *= np.minimum(16 * total / (sites * (window // cell.side) ** 2), 1)
    if only_lowers:
        np.minimum(shift, 0, out=shift)
    add_smooth(restored, shift.astype(np.float32), cell, window // cell.side, noise=noise, threads=threads)
    return restored


def _block_sums(
    noisy: FloatArray,
    restored: FloatArray,
    noise: NoiseModel,
    saturation: float,
    cell: CFAPattern,
    raised: tuple[RaisedMean, ...],
    window: int,
    threads: int | None,
) -> tuple[DoubleArray, DoubleArray]:
    """Return weighted sums of clipped differences in noise standard deviations, and sums of weights.

    Parameters
    ----------
    raised : what clipping adds to the mean of each class; it is taken off, and the weights are those of the slope.
    window : edge of a block, pixels.

    Returns
    -------
    Two arrays, (block rows, block columns, classes).
    """
    height, width = noisy.shape
    patches = Patches(cell, width)
    shape = -(-height // window), -(-width // window), len(cell.classes)
    sums, counts = np.zeros(shape), np.zeros(shape)

    def of_strip(strip: slice) -> tuple[DoubleArray, DoubleArray]:
        number = patches.count(strip.stop - strip.start)
        level = patches.rows(restored[strip])
        mean = patches.sum(level) / number
        sigma = np.sqrt(np.maximum(noise.gain * np.maximum(mean, 0) + noise.read_variance, LEAST_SIGMA**2))
        limit = patches.spread(OUTLIER_SIGMAS * sigma)
        difference = patches.rows(noisy[strip]) - level
        np.minimum(difference, limit, out=difference)
        np.maximum(difference, -limit, out=difference)
        total = patches.sum(difference)
        if level.max() > saturation - limit.max():
            texture = patches.sum(level * level) / number - mean**2
            weight = room_weight((saturation - mean - np.sqrt(np.maximum(texture, 0))) / sigma)
            total, number = total * weight, number * weight
        if raised:
            at = [table.at(mean[..., one]) for one, table in enumerate(raised)]
            added, slope = (np.stack(values, -1) for values in zip(*at, strict=True))
            total, number = total - number * added, number * slope
        return patches.in_blocks(total / sigma, window), patches.in_blocks(number, window)

    def add_blocks(rows: slice) -> None:
        # half a block at a time: larger temporary arrays cost three times as much, for the system's new pages
        for top in range(rows.start, rows.stop, window // 2):
            total, number = of_strip(slice(top, min(top + window // 2, rows.stop)))
            sums[rows.start // window] += total
            counts[rows.start // window] += number

    in_strips(add_blocks, height, window, threads)
    return sums, counts


@dataclass(frozen=True)
class Patches:
    """Small squares of a strip of whole cells, over which pixels of one class are summed.

    Attributes
    ----------
    cell : the canonical cell. width : of the strip, pixels.
    """

    cell: CFAPattern
    width: int

    @property
    def cells(self) -> int:
        """Number of cells along an edge of a patch."""
        return max(PATCH_PX // self.cell.side, 2)

    def rows(self, strip: FloatArray) -> FloatArray:
        """Return (H, W) as rows of cells in rows of patches, (patch rows, cells, side, W); zeros fill the last ones."""
        rest = -len(strip) % (self.cell.side * self.cells)
        whole = np.pad(strip, ((0, rest), (0, 0))) if rest else strip
        return whole.reshape(-1, self.cells, self.cell.side, self.width)

    def sum(self, rows: FloatArray) -> DoubleArray:
        """Sum `rows` over each patch -> (patch rows, patch columns, classes)."""
        side, edge = self.cell.side, self.cell.side * self.cells
        lines = np.pad(rows.sum(axis=1), ((0, 0), (0, 0), (0, -self.width % edge)))
        # (rows of the cell, pixels of a patch row, classes): faster as a product than as a sum of short rows
        belongs = np.tile(np.eye(len(self.cell.classes), dtype=np.float32)[self.cell.class_of_site], (1, self.cells, 1))
        sums: DoubleArray = (lines.reshape(len(lines), side, -1, edge) @ belongs).sum(axis=1, dtype=np.float64)
        return sums

    def count(self, height: int) -> DoubleArray:
        """Return the number of pixels in each patch of a strip, in the shape of `sum`."""
        down, across = (
            np.minimum(number - np.arange(0, number, self.cells), self.cells)
            for number in (height // self.cell.side, self.width // self.cell.side)
        )
        sites = np.bincount(self.cell.class_of_site.ravel())
        return np.multiply.outer(np.multiply.outer(down, across), sites).astype(np.float64)

    def spread(self, values: DoubleArray) -> FloatArray:
        """Give every pixel of a row of cells the value of its patch and class: (patch rows, 1, side, W) float32."""
        small = values.astype(np.float32)
        sites = [np.repeat(small[:, :, classes], self.cells, axis=1) for classes in self.cell.class_of_site]
        return np.stack([row.reshape(len(small), -1)[:, : self.width] for row in sites], axis=1)[:, None]

    def in_blocks(self, values: DoubleArray, window: int) -> DoubleArray:
        """Sum (patch rows, patch columns, classes) over all rows and the columns of each block."""
        across = window // (self.cell.side * self.cells)
        sums: DoubleArray = np.add.reduceat(values.sum(axis=0), np.arange(0, values.shape[1], across), axis=0)
        return sums


def _with_neighbours(blocks: DoubleArray) -> DoubleArray:
    """Return the 1-2-1 weighted mean with the adjacent blocks, along both axes; edge blocks repeat."""
    padded = np.pad(blocks, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    mixed: DoubleArray = (columns[:-2] + 2 * columns[1:-1] + columns[2:]) / 16
    return mixed
