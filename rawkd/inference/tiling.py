"""Denoise a mosaic of any size tile by tile, so that memory beyond the mosaics themselves is bounded.

Within one halo of a tile's inner edge the output is wrong, because the network saw zeros where the picture continues.
(At the border of the picture it is right: the network was trained with that border.) So neighbouring tiles overlap by
two halos and are cut in the middle of the overlap. The result is exact to a hundredth of the noise (`halo.THRESHOLD`),
and every pixel comes from one tile. A network with global pooling is exact nowhere (the halo in its card is half a tile
or more): its tiles all have the same size, overlap by half, and are blended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from rawkd.errors import InputError
from rawkd.inference.card import ModelCard
from rawkd.inference.engine import Engine
from rawkd.inference.lights import find_lights
from rawkd.inference.tile_grid import TileGrid, TileSpan
from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.cfa import padded
from rawkd.sensor.ksigma import KSigma


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
    *,
    large: tuple[int, int] | None = None,
) -> FloatArray:
    """Return the denoised mosaic.

    `engine.streams` tiles run at a time. They are added in a fixed order, so the result does not depend on timing.

    Parameters
    ----------
    mosaic : (H, W) float32 signal, whole cells of the card's `cell`, finite; not changed.
    ksigma : transform of each noise class from the photo's noise to the card's anchor; equal for the greens of Bayer.
    progress : called with the number of finished tiles and of all tiles.
    large : shape of a larger mosaic whose means these are. Its tile shape is used, if it has several tiles, and lights
        are not looked at twice: the small photo does not count beside them.

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
    if large and len(of_large := TileGrid.of(large[0] // side, large[1] // side, card)) > 1:
        grid = of_large.tiles_for(shape[0] // side, shape[1] // side)
    of_planes = ksigma.spread(cell)
    lights = None if large else find_lights(mosaic, ksigma, card.anchor, cell)
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
