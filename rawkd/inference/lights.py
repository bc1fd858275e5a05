"""Look at dark places beside lights a second time, with the lights dimmed.

A network sees a mosaic less its local mean. Beside a light that mean is far above a dark wall, and the error of the
network grows with the distance: 4 to 6 px from a blown disc `balanced` leaves 0.41 of the wall's noise, a visible ring
of grain, and 0.15 if the disc is only 10 deviations brighter (docs/training-log.md#dimmed-lights). So the network runs
again with such lights dimmed, and the dark samples are taken from that run. Tiles without lights run once. Our choice.

Brightness is counted in deviations: twice the root of the electrons, whose noise is 1 everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.ksigma import Anchor, KSigma

REACH = 3
"""Blocks on either side among which a light counts: the local mean of the networks reaches 36 pixels."""
CONTRAST, RATIO = 40.0, 5.0
"""A light is so many deviations brighter than the darkest block within reach, and so many times as bright."""
DARK = 30.0
"""Largest brightness of a dark block: 225 electrons. The noise of brighter places, at most 1/15 of their signal, is
hardly seen."""
DIMMED = 10.0
"""Brightness of dimmed lights above the darkest block within reach."""
DARK_SIDE = 3.0
"""Pixels that the first look puts less than so many deviations above the darkest block are taken from the second."""

NEIGHBOURS = 5
"""Of the nine blocks around a dark block as many are dark beside a light: fewer are not worth a second look."""

Run = Callable[[Any], Any]


def block_px(side: int) -> int:
    """Return the side of the blocks whose mean and maximum we look at, for cells of 2 or 6 pixels: whole cells."""
    return 16 if side == 2 else 12


def context_px(side: int) -> int:
    """Return how far around a pixel it matters what is dimmed: reach, and a block for each mean of neighbours."""
    return (REACH + 3) * block_px(side)


@dataclass(frozen=True, eq=False)
class Lights:
    """The lights of a mosaic.

    Attributes
    ----------
    low : (classes, rows, columns) brightness of the darkest block within reach of each block, or of the brightest
        sample, so that nothing is dimmed, where there is no light.
    near : (rows, columns), whether a block is dark and a light is within reach.
    anchor, cell : of the model.
    """

    low: FloatArray
    near: NDArray[np.bool_]
    anchor: Anchor
    cell: CFAPattern

    def restore(self, run: Run, planes: FloatArray, top: int, left: int, written: tuple[slice, slice]) -> FloatArray:
        """Return `run` of a tile, or of two looks at it if it is dark beside a light.

        Parameters
        ----------
        run : the network, (1, planes, h, w) -> the same shape.
        planes : (planes, h, w) float32, anchored. top, left : first packed pixel of the tile in the mosaic.
        written : rows and columns of the tile that are kept.
        """
        first: FloatArray = run(planes[None])[0]
        rows, columns = (
            self._blocks(start, length, count)
            for start, length, count in zip((top, left), planes.shape[1:], self.near.shape, strict=True)
        )
        near = self.near[np.ix_(np.rint(rows).astype(int), np.rint(columns).astype(int))]
        if not near[written].any():
            return first
        low = _between(_between(self.low, rows, 1), columns, 2)[self.cell.class_of_site.ravel()]
        dark = near & (first < self._anchored(low + DARK_SIDE)).all(0)
        if not dark[written].any():
            return first
        second = run(np.minimum(planes, self._anchored(low + DIMMED))[None])[0]
        both: FloatArray = np.where(dark, second, first)
        return both

    def _blocks(self, start: int, length: int, count: int) -> FloatArray:
        """Return where packed pixels lie among the blocks of an axis; 0 is the centre of the first."""
        centres = (np.arange(start, start + length) + 0.5) * (self.cell.side / block_px(self.cell.side))
        return np.asarray(np.clip(centres - 0.5, 0, count - 1), np.float32)

    def _anchored(self, brightness: FloatArray) -> FloatArray:
        """Return the anchored values of a brightness: k (f / 2)^2 - v / k."""
        gain = self.anchor.gain
        anchored: FloatArray = np.square(brightness) * np.float32(gain / 4)
        return anchored - np.float32(self.anchor.read_variance / gain)


def find_lights(mosaic: FloatArray, ksigma: KSigma, anchor: Anchor, cell: CFAPattern) -> Lights | None:
    """Return the lights of a mosaic beside which it is dark, or None if there are none.

    Parameters
    ----------
    mosaic : (H, W) float32 signal, whole cells. ksigma : as in `denoise_tiled`. anchor, cell : of the model.
    """
    if min(mosaic.shape) < block_px(cell.side):
        return None
    means, brightest = (_brightness(values, ksigma, anchor) for values in _of_blocks(mosaic, cell))
    low = _over_window(means, np.minimum, REACH)
    high = _over_window(brightest, np.maximum, REACH)
    near: NDArray[np.bool_] = np.any((high - low > CONTRAST) & (high > RATIO * low) & (low < DARK), axis=0)
    near &= _over_window(near[None].astype(np.uint8), np.add, 1)[0] >= NEIGHBOURS
    if not near.any():
        return None
    smooth = _over_window(low, np.add, 1) / 9
    return Lights(np.where(near, smooth, high).astype(np.float32), near, anchor, cell)


def _of_blocks(mosaic: FloatArray, cell: CFAPattern) -> tuple[FloatArray, FloatArray]:
    """Return mean and maximum of the samples of each noise class in each whole block, (classes, rows, columns)."""
    side, size = cell.side, block_px(cell.side)
    rows, columns = (length // size for length in mosaic.shape)
    tall = mosaic[: rows * size].reshape(rows, size // side, side, -1)

    def of_classes(statistic: Callable[..., FloatArray]) -> FloatArray:
        wide = statistic(tall, axis=1)[..., : columns * size].reshape(rows, side, columns, -1, side)
        of_sites = statistic(wide, axis=3).transpose(1, 3, 0, 2).reshape(side * side, rows, columns)
        members = (cell.class_of_site.ravel() == one for one in range(len(cell.classes)))
        return np.stack([statistic(of_sites[some], axis=0) for some in members])

    return of_classes(np.mean), of_classes(np.max)


def _brightness(signal: FloatArray, ksigma: KSigma, anchor: Anchor) -> FloatArray:
    """Return the brightness of signal, (classes, rows, columns), deviations."""
    electrons = ksigma.apply(signal) / anchor.gain + anchor.read_variance / anchor.gain**2
    return np.asarray(2 * np.sqrt(np.maximum(electrons, 0)), np.float32)


def _over_window(blocks: FloatArray, combined: Callable[..., FloatArray], reach: int) -> FloatArray:
    """Return the blocks up to `reach` away along each axis, combined."""
    for axis in (1, 2):
        width = [(reach, reach) if each == axis else (0, 0) for each in range(3)]
        shifted = sliding_window_view(np.pad(blocks, width, "edge"), 2 * reach + 1, axis)
        blocks = reduce(combined, np.moveaxis(shifted, -1, 0))
    return blocks


def _between(blocks: FloatArray, places: FloatArray, axis: int) -> FloatArray:
    """Return linearly interpolated values of blocks at places along an axis."""
    before = places.astype(int)
    after = np.minimum(before + 1, blocks.shape[axis] - 1)
    share = (places - before).astype(np.float32).reshape([-1 if each == axis else 1 for each in range(3)])
    mixed: FloatArray = blocks.take(before, axis) * (1 - share) + blocks.take(after, axis) * share
    return mixed
