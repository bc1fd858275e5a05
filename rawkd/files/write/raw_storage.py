"""Store the pixels of a raw picture in a DNG: tiles of lossless JPEG, or one plain strip of a narrow picture."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray

from rawkd.files.tiff.ifd import STRIPS, TILES, integers, long, short
from rawkd.files.write.ljpeg import encode_components, encode_tile
from rawkd.photo import FrameArray, Rect, Tag

TILE_PX = 512
"""Approximate edge of a tile; the last tiles of a row or column are padded to full size, as TIFF requires."""
TILED_WIDTH_PX = 96
"""Narrower frames are stored uncompressed. LibRaw misreads tiles that are wider than the frame or exactly half as wide;
from this width on, three tiles whose width is a multiple of 16 avoid both."""
PLAIN, JPEG = 1, 7


def stored(
    samples: FrameArray, pool: Executor, *, is_mosaic: bool
) -> tuple[tuple[Tag, ...], tuple[int, int], list[bytes]]:
    """Return the fields that describe the storage, the block tags, and the blocks: JPEG tiles or one plain strip.

    Parameters
    ----------
    samples : (H, W), or (H, W, 3) for a linear picture. pool : threads that encode.
    is_mosaic : whether neighbouring pixels have different colours, so that even and odd columns are two components.
        LibRaw 0.20 scrambles two components of a monochrome picture.
    """
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    shape = (
        long(254, [0]),
        integers(256, [width]),
        integers(257, [height]),
        short(258, [16] * count),
        short(277, [count]),
        short(284, [1]),
    )
    if width < TILED_WIDTH_PX:
        return (*shape, short(259, [PLAIN]), integers(278, [height])), STRIPS, [samples.astype("<u2").tobytes()]
    tile_height, tile_width = tile_shape(height, width)
    tops, lefts = range(0, height, tile_height), range(0, width, tile_width)
    places = [Rect(top, left, tile_height, tile_width) for top in tops for left in lefts]

    def encoded(place: Rect) -> bytes:
        tile = _tile(samples, place)
        return encode_tile(tile) if is_mosaic else encode_components(tile.reshape(*tile.shape[:2], count))

    blocks = list(pool.map(encoded, places))
    return (*shape, short(259, [JPEG]), integers(322, [tile_width]), integers(323, [tile_height])), TILES, blocks


def tile_shape(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the tiles: multiples of 16 that need little padding, at least three tiles per row."""
    columns = max(3, -(-width // TILE_PX))
    rows = -(-height // TILE_PX)
    return -(-height // (16 * rows)) * 16, -(-width // (16 * columns)) * 16


def _tile(samples: FrameArray, place: Rect) -> FrameArray:
    """Return one tile, padded beyond the frame with its last two rows and columns, which compress to almost nothing."""
    tile = samples[place.slices]
    if tile.shape[:2] == (place.height, place.width):
        return tile
    return tile[_filled(tile.shape[0], place.height)][:, _filled(tile.shape[1], place.width)]


def _filled(size: int, full: int) -> NDArray[np.int64]:
    index = np.arange(full)
    beyond = index >= size
    index[beyond] = np.maximum(size - 2, 0) + (index[beyond] - size) % min(2, size)
    return index
