"""Split the raw picture of a losslessly compressed DNG into bands of tiles, so that several threads decode it.

A band is a DNG of its own: a directory that has the tags on which LibRaw's decoding depends and the offsets of the
band's tiles. The directories are to follow the file, so the offsets are those in the file and no tile is copied. A file
with anything unusual has no bands; LibRaw then decodes it as a whole. rawpy's `unpack` releases the interpreter lock
since 0.21; with older versions one band would be decoded after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal

from rawkd.files.tiff.dng_tags import (
    BITS,
    CFA_LAYOUT,
    CFA_PATTERN,
    CFA_PLANE_COLOR,
    CFA_REPEAT_DIM,
    COMPRESSION,
    DNG_VERSION,
    HEIGHT,
    LINEARIZATION_TABLE,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    SAMPLES_PER_PIXEL,
    WIDTH,
    size_of,
)
from rawkd.files.tiff.ifd import ASCII, BYTE, HEADER_BYTES, LONG, SHORT, TILES, directory, long
from rawkd.files.tiff.tags import Ifd, TagTree

JPEG = 7
MAKE, MODEL, UNIQUE_MODEL = 271, 272, 50708
PLANAR_CONFIGURATION, TILE_WIDTH, TILE_HEIGHT = 284, 322, 323
OFFSETS, COUNTS = TILES
DECODING_TAGS = {
    NEW_SUBFILE_TYPE: {LONG},
    WIDTH: {SHORT, LONG},
    HEIGHT: {SHORT, LONG},
    BITS: {SHORT},
    COMPRESSION: {SHORT},
    PHOTOMETRIC: {SHORT},
    SAMPLES_PER_PIXEL: {SHORT},
    PLANAR_CONFIGURATION: {SHORT},
    TILE_WIDTH: {SHORT, LONG},
    TILE_HEIGHT: {SHORT, LONG},
    OFFSETS: {LONG},
    COUNTS: {SHORT, LONG},
    SAMPLE_FORMAT: {SHORT},
    CFA_REPEAT_DIM: {SHORT},
    CFA_PATTERN: {BYTE},
    CFA_PLANE_COLOR: {BYTE},
    CFA_LAYOUT: {SHORT},
    LINEARIZATION_TABLE: {SHORT},
}
"""Tags of the raw picture's directory on which its decoding depends, with the types that they have."""
OF_CAMERA = {MAKE: {ASCII}, MODEL: {ASCII}, UNIQUE_MODEL: {ASCII}, DNG_VERSION: {BYTE}}
"""Such tags of IFD0: LibRaw treats some cameras by name."""
OBEYED_ANYWHERE = {DNG_VERSION, LINEARIZATION_TABLE}
"""Tags that LibRaw obeys in any directory."""
MIN_PIXELS, MAX_PIXELS, MAX_FILE_BYTES = 1 << 20, 1 << 28, 1 << 31
"""Pixels and size of files that have bands. Smaller pictures are decoded in 0.03 s as a whole (our choice)."""
LEAST_BITS = 1
"""Fewest bits of a pixel: those of one Huffman code of lossless JPEG (T.81, annex H)."""
MIN_ROWS = 32
"""Fewest rows of a band; LibRaw refuses pictures of less than 22."""
BANDS_PER_THREAD = 2
"""Bands differ in work; with more than one each, threads end at about the same time (our choice)."""
SOI, EOI, SOF3, DHT, SOS = (bytes((0xFF, code)) for code in (0xD8, 0xD9, 0xC3, 0xC4, 0xDA))
"""JPEG markers. EOI is put between the file and the directories: a damaged last tile must not be decoded from them."""
UNSAMPLED = 0x11
HEAD_BYTES = 2048
"""Bytes of a tile that hold its header; four Huffman tables take under 200 (our choice)."""


@dataclass(frozen=True)
class Bands:
    """Bands of a DNG for the child process that decodes.

    Attributes
    ----------
    request : of the child process, as JSON. "file_bytes": size of the file. "directories_at": where in the joined bytes
        each band's directory is. "shapes": height and width of the picture, and of its bands from top to bottom.
        "first_tile_at": offset of the first tile. "threads": to decode with.
    directories : the bytes that are to follow the file.
    """

    request: dict[str, Any]
    directories: bytes


def bands_of(path: Path, tree: TagTree, raw: Ifd, threads: int) -> Bands | None:
    """Return the bands of a DNG; None if it has none, is small, has anything unusual, or there is one thread only.

    Parameters
    ----------
    path : the DNG. tree, raw : its tags, and the directory of its raw picture. threads : to decode with, at least 1.

    Raises
    ------
    OSError: if the file cannot be read.
    """
    height, width = size_of(raw)
    if threads < 2 or raw.number(COMPRESSION) != JPEG or not MIN_PIXELS <= height * width <= MAX_PIXELS:
        return None
    tile_height, tile_width = (int(raw.number(number) or 0) for number in (TILE_HEIGHT, TILE_WIDTH))
    if min(tile_height, tile_width) < 1:
        return None
    size = path.stat().st_size
    down, across = -(-height // tile_height), -(-width // tile_width)
    offsets, counts = ([int(value) for value in raw.numbers(number)] for number in TILES)
    if not len(offsets) == len(counts) == down * across or not _is_whole(size, offsets, counts, height * width):
        return None
    edges = _edges(height, tile_height, threads)
    with path.open("rb") as stream:
        if len(edges) < 3 or not _is_usual(stream, tree, raw):
            return None
        if not all(_is_usual_jpeg(_head(stream, offset), tile_height * tile_width) for offset in offsets):
            return None
    tops = [min(edge * tile_height, height) for edge in edges]
    shapes = [[below - top, width] for top, below in pairwise(tops)]
    common = [raw.tags[number] for number in DECODING_TAGS if number in raw.tags and number not in (HEIGHT, *TILES)]
    common += [tree.main.tags[number] for number in OF_CAMERA if number in tree.main.tags]
    data, starts = bytearray(EOI), []
    for (first, last), (rows, _) in zip(pairwise(edges), shapes, strict=True):
        part = slice(first * across, last * across)
        starts.append(size + len(data))
        own = (long(HEIGHT, [rows]), long(OFFSETS, offsets[part]), long(COUNTS, counts[part]))
        data += directory([*common, *own], starts[-1])
    request = {
        "file_bytes": size,
        "directories_at": starts,
        "shapes": [[height, width], *shapes],
        "first_tile_at": offsets[0],
        "threads": min(threads, len(shapes)),
    }
    return Bands(request, bytes(data))


def _is_whole(size: int, offsets: Sequence[int], counts: Sequence[int], pixels: int) -> bool:
    """Return whether all tiles lie in the file and can hold the pixels."""
    ends = [offset + count for offset, count in zip(offsets, counts, strict=True)]
    lie_inside = min(offsets) >= HEADER_BYTES and max(ends) <= size < MAX_FILE_BYTES
    return lie_inside and pixels * LEAST_BITS <= 8 * sum(counts)


def _edges(height: int, tile_height: int, threads: int) -> list[int]:
    """Return the rows of tiles at which bands begin, and the number of all."""
    down = -(-height // tile_height)
    bands = min(down, BANDS_PER_THREAD * threads)
    edges = [0]
    for edge in (down * number // bands for number in range(1, bands)):
        if min((edge - edges[-1]) * tile_height, height - edge * tile_height) >= MIN_ROWS:
            edges.append(edge)
    return [*edges, down]


def _is_usual(stream: BinaryIO, tree: TagTree, raw: Ifd) -> bool:
    """Return whether LibRaw takes the tags that matter from the directories that we take them from, as they are.

    LibRaw obeys fields of any type, the last one of a number, and some of them in any directory.
    """
    order: Literal["little", "big"] = "big" if stream.read(2) == b"MM" else "little"
    for ifd in tree.all_ifds():
        stream.seek(ifd.offset)
        table = stream.read(12 * int.from_bytes(stream.read(2), order))
        numbers = [int.from_bytes(table[at : at + 2], order) for at in range(0, len(table), 12)]
        types = {**(DECODING_TAGS if ifd is raw else {}), **(OF_CAMERA if ifd is tree.main else {})}
        if set(numbers) & OBEYED_ANYWHERE - set(types):
            return False
        for number in set(numbers) & set(types):
            tag = ifd.tags.get(number)
            if tag is None or tag.type not in types[number] or numbers.count(number) > 1:
                return False
    return True


def _head(stream: BinaryIO, offset: int) -> bytes:
    stream.seek(offset)
    return stream.read(HEAD_BYTES)


def _is_usual_jpeg(head: bytes, pixels: int) -> bool:
    """Return whether a tile begins as a lossless JPEG of its size that LibRaw starts to decode.

    LibRaw ends silently at a tile that it does not start to decode, and leaves the pixels of all that follow unset.
    Source: ITU-T T.81, annex B; LibRaw 0.22, ljpeg_start.

    Parameters
    ----------
    head : the beginning of the tile. pixels : of a tile.
    """
    at, tables, components = 2, set[int](), 0
    while head[:2] == SOI and at + 4 <= len(head):
        marker, length = head[at : at + 2], int.from_bytes(head[at + 2 : at + 4], "big") - 2
        part = head[at + 4 : at + 4 + length]
        at += 4 + length
        if marker == SOF3 and len(part) > 8:
            components = part[5]
            size = int.from_bytes(part[1:3], "big") * int.from_bytes(part[3:5], "big") * components
            if not 2 <= part[0] <= 16 or components > 4 or part[7] != UNSAMPLED or size != pixels:
                return False
        elif marker == DHT and length > 17:
            while len(part) > 17:
                tables.add(part[0])
                part = part[17 + sum(part[1:17]) :]
            if part:
                return False
        else:
            is_scan = marker == SOS and part[:1] == bytes((components,)) and len(part) == 4 + 2 * components
            return is_scan and part[-1] == 0 and 0 in tables and tables <= {0, 1, 2, 3}
    return False
