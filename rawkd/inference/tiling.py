"""Denoise a mosaic of any size tile by tile, so that memory beyond the mosaics themselves is bounded.

Within one halo of a tile's inner edge the output is wrong, because the network saw zeros where the picture continues.
(At the border of the picture it is right: the network was trained with that border.) So neighbouring tiles overlap by
two halos and are cut in the middle of the overlap. The result is exact to a hundredth of the noise (`halo.THRESHOLD`),
and every pixel comes from one tile. A network with global pooling is exact nowhere (the halo in its card is half a tile
or more): its tiles all have the same size, overlap by half, and are blended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from rawkd.errors import InputError
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.inference.lights import find_lights
from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.cfa import padded
from rawkd.sensor.ksigma import KSigma


@dataclass(frozen=True, eq=False)
class TileSpan:
    """One tile along one axis, packed pixels.

    Attributes
    ----------
    origin, size : the pixels that are read; outside the picture they are padded.
    start, stop : the pixels that are written, within the picture.
    weight : (stop - start,) float32 blending window; the weights of all spans at a pixel sum to 1.
    """

    origin: int
    size: int
    start: int
    stop: int
    weight: FloatArray


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis of a picture, packed pixels.

    Attributes
    ----------
    length : of the picture. tile : the largest tile. overlap : the smallest overlap of neighbours.
    stride : tile, overlap and every origin are multiples of it.
    blend : width of the blending zone in the middle of the overlap, 0 for a hard cut; at most the overlap.
    even : whether tiles may be smaller than `tile`, so that they cover the picture with little padding.
    """

    length: int
    tile: int
    overlap: int
    stride: int
    blend: int = 0
    even: bool = True

    def __post_init__(self) -> None:
        multiples = self.tile % self.stride == 0 and self.overlap % self.stride == 0
        if self.length < 1 or not multiples or not 0 <= self.blend <= self.overlap < self.tile:
            raise InputError(f"these tiles cannot cover the picture: {self}")

    @cached_property
    def size(self) -> int:
        """Side of every tile: the smallest that needs no more tiles than `tile` does."""
        padded = _round_up(self.length, self.stride)
        if padded <= self.tile:
            return padded
        if not self.even:
            return self.tile
        count = -(-(padded - self.overlap) // (self.tile - self.overlap))
        return _round_up(-(-(padded + (count - 1) * self.overlap) // count), self.stride)

    @cached_property
    def origins(self) -> tuple[int, ...]:
        """First pixel of every tile; the spacing is even to within a stride."""
        last = _round_up(self.length, self.stride) - self.size
        steps = -(-last // (self.size - self.overlap)) if last else 0
        return (0, *(i * (last // self.stride) // steps * self.stride for i in range(1, steps + 1)))

    @cached_property
    def spans(self) -> tuple[TileSpan, ...]:
        """The tiles in order."""
        cuts = [after + (before + self.size - after) // 2 for before, after in pairwise(self.origins)]
        blend = min([self.blend, *(b - a for a, b in pairwise(cuts))])
        starts = [0, *(cut - blend // 2 for cut in cuts)]
        stops = [*(start + blend for start in starts[1:]), self.length]
        ramp = ((np.arange(blend) + 0.5) / max(blend, 1)).astype(np.float32)
        spans = []
        for index, (origin, start, stop) in enumerate(zip(self.origins, starts, stops, strict=True)):
            weight = np.ones(stop - start, np.float32)
            if blend and index:
                weight[:blend] = ramp
            if blend and index < len(cuts):
                weight[-blend:] = 1 - ramp
            spans.append(TileSpan(origin, self.size, start, stop, weight))
        return tuple(spans)


@dataclass(frozen=True)
class TileGrid:
    """The tiles of a picture; the blending window of a tile is the product of those of its row and column."""

    rows: TileAxis
    columns: TileAxis

    @classmethod
    def of(cls, height: int, width: int, card: ModelCard) -> TileGrid:
        """Return the grid for a picture of `height` x `width` packed pixels and a model's halo, tile and stride.

        Exact tiles need not be square: they have the shape that costs least among those with at most as many pixels as
        a square of the card's tile. An odd number of tiles costs as much as one more, because one of two cores waits
        for the last (our choice). It does not depend on the machine, so that the result does not.
        """
        if not card.exact_tiles:
            overlap = card.tile // 2 // card.stride * card.stride
            return cls(*(TileAxis(n, card.tile, overlap, card.stride, overlap, False) for n in (height, width)))
        overlap, largest = _round_up(2 * card.halo, card.stride), card.tile**2
        shapes = ((high, largest // high // card.stride * card.stride) for high in _heights(height, overlap, card))
        grids = (
            cls(TileAxis(height, high, overlap, card.stride), TileAxis(width, wide, overlap, card.stride))
            for high, wide in shapes
            if wide > overlap
        )
        return min(grids, key=lambda grid: (grid.cost, len(grid)))

    @property
    def pixels(self) -> int:
        """Number of pixels that the network computes."""
        return len(self) * self.rows.size * self.columns.size

    @property
    def cost(self) -> int:
        """`pixels`, and those of one more tile if more than one run and their number is odd."""
        count = len(self)
        return self.pixels + (self.pixels // count if count > 1 and count % 2 else 0)

    def __len__(self) -> int:
        return len(self.rows.origins) * len(self.columns.origins)

    def __iter__(self) -> Iterator[tuple[TileSpan, TileSpan]]:
        return ((row, column) for row in self.rows.spans for column in self.columns.spans)


def _heights(height: int, overlap: int, card: ModelCard) -> range:
    """Return the heights of tiles to choose from: from just above the overlap to the picture, or the card's tile."""
    return range(overlap + card.stride, max(card.tile, _round_up(height, card.stride)) + 1, card.stride)


def _round_up(value: int, multiple: int) -> int:
    """Return `value` rounded up to a multiple of `multiple`."""
    return -(-value // multiple) * multiple


def _read(mosaic: FloatArray, row: TileSpan, column: TileSpan, cell: CFAPattern) -> FloatArray:
    """Return the mosaic of a tile, (side size, side size); beyond the picture it is reflected (`cfa.padded`)."""
    side = cell.side
    bottom, right = side * (row.origin + row.size), side * (column.origin + column.size)
    block = mosaic[side * row.origin : bottom, side * column.origin : right]
    missing = (side * row.size - block.shape[0], side * column.size - block.shape[1])
    return padded(block, cell, (0, missing[0]), (0, missing[1]))


def denoise_tiled(
    engine: Engine,
    mosaic: FloatArray,
    ksigma: KSigma,
    card: ModelCard,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Return the denoised mosaic.

    `engine.streams` tiles run at a time. They are added in a fixed order, so the result does not depend on timing.

    Parameters
    ----------
    mosaic : (H, W) float32 signal, whole cells of the card's `cell`, finite; not changed.
    ksigma : transform of each noise class from the photo's noise to the card's anchor; equal for the greens of Bayer.
    progress : called with the number of finished tiles and of all tiles.

    Returns
    -------
    (H, W) float32 signal, not clipped.

    Raises
    ------
    InputError: if the mosaic has the wrong shape or type. ModelError: if the engine fails.
    """
    cell, side, shape = card.cell, card.cell.side, mosaic.shape
    if len(shape) != 2 or mosaic.dtype != np.float32 or min(shape) < side or shape[0] % side or shape[1] % side:
        raise InputError(
            f"the mosaic must be an (H, W) float32 array with sides that are multiples of {side}, not {mosaic.dtype}"
            f" {shape}"
        )
    grid = TileGrid.of(shape[0] // side, shape[1] // side, card)
    of_planes, lights = ksigma.spread(cell), find_lights(mosaic, ksigma, card.anchor, cell)
    out = np.zeros(mosaic.shape, np.float32)

    def restore(row: TileSpan, column: TileSpan) -> FloatArray:
        """Return the part of the mosaic that the tile writes, times its blending window; exact tiles write to `out`."""
        planes = of_planes.pack(_read(mosaic, row, column, cell), side)
        rows = slice(row.start - row.origin, row.stop - row.origin)
        columns = slice(column.start - column.origin, column.stop - column.origin)
        if lights:
            planes = lights.restore(engine.run, planes, row.origin, column.origin, (rows, columns))
        else:
            planes = engine.run(planes[None])[0]
        if card.exact_tiles:
            part = out[side * row.start : side * row.stop, side * column.start : side * column.stop]
            of_planes.unpack(planes[:, rows, columns], part)
            return part
        part = np.empty((side * len(row.weight), side * len(column.weight)), np.float32)
        of_planes.unpack(planes[:, rows, columns], part)
        part *= np.repeat(row.weight, side)[:, None] * np.repeat(column.weight, side)
        return part

    done = 0
    waiting: deque[tuple[TileSpan, TileSpan, Future[FloatArray]]] = deque()
    with ThreadPoolExecutor(engine.streams, thread_name_prefix="tile") as pool:
        try:
            tiles = iter(grid)
            while done < len(grid):
                while len(waiting) <= engine.streams and (tile := next(tiles, None)):
                    waiting.append((*tile, pool.submit(restore, *tile)))
                row, column, restored = waiting.popleft()
                rows, columns = (slice(side * span.start, side * span.stop) for span in (row, column))
                part = restored.result()
                if not card.exact_tiles:
                    out[rows, columns] += part
                done += 1
                if progress:
                    progress(done, len(grid))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return out
