"""Where a DNG stores its raw picture: the strips or tiles (blocks), and whether all of them are in the file.

Source: TIFF 6.0, sections 3 (strips) and 15 (tiles).
"""

from __future__ import annotations

import io
from itertools import zip_longest
from typing import BinaryIO

from rawkd.errors import InputError
from rawkd.files.sanity import COPY_AGAIN
from rawkd.files.tiff.dng_tags import size_of
from rawkd.files.tiff.ifd import STRIPS, TILES
from rawkd.files.tiff.tags import Ifd

ROWS_PER_STRIP, TILE_WIDTH, TILE_HEIGHT = 278, 322, 323
DAMAGED = "the file is damaged: {}. " + COPY_AGAIN


def refuse_cut(stream: BinaryIO, raw: Ifd) -> None:
    """Refuse a raw picture with strips or tiles missing or beyond the end of the file; byte counts may be missing.

    Raises
    ------
    InputError: if the file is damaged. OSError: if it cannot be read.
    """
    offsets, counts = (raw.numbers(number) for number in (TILES if TILES[0] in raw.tags else STRIPS))
    block = block_of(raw)
    expected = number_of_blocks(size_of(raw), block) if min(block) > 0 else 1
    if len(offsets) < expected:
        raise InputError(DAMAGED.format(f"it has {len(offsets)} strips or tiles instead of {expected}"))
    size = stream.seek(0, io.SEEK_END)
    if any(min(at, count) < 0 or at + count > size for at, count in zip_longest(offsets, counts, fillvalue=1)):
        raise InputError(DAMAGED.format("its raw picture extends beyond its end"))


def number_of_blocks(size: tuple[int, int], block: tuple[int, int]) -> int:
    """Return the number of blocks of a picture; both sizes are height and width in pixels."""
    return -(-size[0] // block[0]) * -(-size[1] // block[1])


def block_of(raw: Ifd) -> tuple[int, int]:
    """Return height and width of a strip or tile, in pixels."""
    if TILES[0] in raw.tags:
        return int(raw.number(TILE_HEIGHT) or 0), int(raw.number(TILE_WIDTH) or 0)
    height, width = size_of(raw)
    return min(int(raw.number(ROWS_PER_STRIP) or height), height), width
