"""Look at dark places beside lights a second time, with the lights dimmed.

A network sees a mosaic less its local mean. Beside a light that mean is far above a dark wall, and the error of the
network grows with the distance: 4 to 6 px from a blown disc `balanced` leaves 0.41 of the wall's noise, a visible ring
of grain, and 0.15 if the disc is only 15 deviations brighter (docs/training-log.md#dimmed-lights). So the network runs
again with such lights dimmed, and dark pixels are taken from that run. Tiles without lights run once. Our choice.

Brightness is counted in deviations: twice the root of the electrons, whose noise is 1 everywhere. A limit is a pair:
where the second look has the weight 0, and where it has 1. Between them the weight is linear, so that no edge shows
between the looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.ksigma import Anchor, KSigma

REACH = 3
"""Blocks on either side among which a light counts: the local mean of the networks reaches 36 pixels."""
CONTRAST, RATIO = (30.0, 40.0), (4.0, 5.0)
"""How far a light is above the background: their difference in deviations, and their ratio."""
DARK = (35.0, 25.0)
"""Brightness of a dark background: at most 300 electrons. Noise of less than 1/17 of the signal is hardly seen."""
SHARE = (0.3, 0.7)
"""Part of a block and its eight neighbours that is dark beside a light: single blocks are not worth a second look."""
DIMMED = 10.0
"""Brightness of dimmed lights above the background."""
DARK_SIDE = (4.0, 2.0)
"""Brightness above the background of pixels that are taken from the second look; the first look decides."""

Run = Callable[[FloatArray], FloatArray]


def block_px(side: int) -> int:
    """Return the side of the blocks whose mean and maximum we look at, for cells of 2 or 6 pixels: whole cells."""
    return 16 if side == 2 else 12


def context_px(side: int) -> int:
    """Return how far around a pixel its weight and background depend on the mosaic: two windows and two neighbours."""
    return (2 * REACH + 1) * block_px(side)


@dataclass(frozen=True, eq=False)
class Lights:
    """The lights of a mosaic.

    Attributes
    ----------
    background : (classes, rows, columns) brightness of each block without lights narrower than twice the reach; large
        ones begin a block inside their edge.
    weight : (1, rows, columns) of the second look, 0..1.
    anchor, cell : of the model.
    """

    background: FloatArray
    weight: FloatArray
    anchor: Anchor
    cell: CFAPattern

    def restore(self, run: Run, planes: FloatArray, top: int, left: int, written: tuple[slice, slice]) -> FloatArray:
        """Return `run` of a tile, or a mixture of two looks at it if it is dark beside a light.

        Parameters
        ----------
        run : the network, (1, planes, h, w) -> the same shape.
        planes : (planes, h, w) float32, anchored. top, left : first packed pixel of the tile in the mosaic.
        written : rows and columns of the tile that are kept.
        """
        first: FloatArray = run(planes[None])[0]
        rows, columns = (
            self._blocks(start, length, count)
            for start, length, count in zip((top, left), planes.shape[1:], self.weight.shape[1:], strict=True)
        )
        weight = _between(_between(self.weight, rows, 1), columns, 2)[0]
        if not weight[written].any():
            return first
        background = _between(_between(self.background, rows, 1), columns, 2)[self.cell.class_of_site.ravel()]
        out, inside = (self._anchored(background + limit) for limit in DARK_SIDE)
        weight = weight * np.clip((out - first) / (out - inside), 0, 1).min(0)
        if not weight[written].any():
            return first
        second = run(np.minimum(planes, self._anchored(background + DIMMED))[None])[0]
        mixed: FloatArray = first + weight * (second - first)
        return mixed

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
    darkest = _over_window(means, np.minimum, REACH)
    background: FloatArray = np.maximum(_over_window(darkest, np.maximum, REACH - 1), np.float32(1))
    high = _over_window(brightest, np.maximum, REACH)
    lit = _ramp(high - background, CONTRAST) * _ramp(high / background, RATIO) * _ramp(background, DARK)
    weight = _ramp(_over_window(lit.max(0, keepdims=True), np.add, 1) / np.float32(9), SHARE)
    return Lights(background, weight, anchor, cell) if weight.any() else None


def _ramp(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """Return weights that are 0 at the first limit, 1 at the second, and linear between."""
    outer, inner = limits
    ramp: FloatArray = np.clip((values - np.float32(outer)) / np.float32(inner - outer), 0, 1)
    return ramp


def _of_blocks(mosaic: FloatArray, cell: CFAPattern) -> tuple[FloatArray, FloatArray]:
    """Return mean and maximum of the samples of each noise class in each block, (classes, rows, columns).

    The last block of an axis lies at its end, and may share pixels with the one before.
    """
    side, size = cell.side, block_px(cell.side)

    def of_rows(values: FloatArray, statistic: Callable[..., FloatArray]) -> FloatArray:
        """Return (rows, side, W) of (H, W): a statistic of the rows of a block that are one cell apart."""
        whole = len(values) // size * size
        parts = [values[:whole]] + ([values[-size:]] if whole < len(values) else [])
        tall = [part.reshape(-1, size // side, side, part.shape[1]) for part in parts]
        return np.concatenate([statistic(part, axis=1) for part in tall])

    def of_classes(statistic: Callable[..., FloatArray]) -> FloatArray:
        rows = of_rows(mosaic, statistic)
        of_columns = of_rows(rows.reshape(-1, rows.shape[2]).T, statistic)
        of_sites = of_columns.reshape(-1, side, len(rows), side).transpose(3, 1, 2, 0)
        members = (np.nonzero(cell.class_of_site == one) for one in range(len(cell.classes)))
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
