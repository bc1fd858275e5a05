"""Refuse a DNG whose tags do not say how its raw picture is stored, or contradict each other.

Sources: TIFF 6.0, sections 3 (strips) and 15 (tiles); DNG specification 1.7, chapter 4. LibRaw decodes such files to
garbage without an error. What real files have is allowed: padding, missing byte counts, a last strip that is too long.
"""

from __future__ import annotations

from itertools import pairwise

from rawkd.errors import InputError
from rawkd.files.tiff.dng_tags import (
    ACTIVE_AREA,
    BITS,
    BLACK_DELTA_H,
    BLACK_DELTA_V,
    BLACK_LEVEL,
    BLACK_REPEAT_DIM,
    CFA_LAYOUT,
    CFA_PATTERN,
    CFA_PLANE_COLOR,
    CFA_REPEAT_DIM,
    COMPRESSION,
    LINEARIZATION_TABLE,
    SAMPLE_FORMAT,
    SAMPLES_PER_PIXEL,
    USE_COPY,
    WHITE_LEVEL,
    cfa_codes,
    size_of,
)
from rawkd.files.tiff.ifd import HEADER_BYTES, STRIPS, TILES
from rawkd.files.tiff.tags import Ifd

ROWS_PER_STRIP, TILE_WIDTH, TILE_HEIGHT = 278, 322, 323
DECISIVE = {
    BITS: "BitsPerSample",
    COMPRESSION: "Compression",
    STRIPS[0]: "StripOffsets",
    SAMPLES_PER_PIXEL: "SamplesPerPixel",
    ROWS_PER_STRIP: "RowsPerStrip",
    TILE_WIDTH: "TileWidth",
    TILE_HEIGHT: "TileLength",
    TILES[0]: "TileOffsets",
    SAMPLE_FORMAT: "SampleFormat",
    CFA_REPEAT_DIM: "CFARepeatPatternDim",
    CFA_PLANE_COLOR: "CFAPlaneColor",
    CFA_LAYOUT: "CFALayout",
    LINEARIZATION_TABLE: "LinearizationTable",
    BLACK_REPEAT_DIM: "BlackLevelRepeatDim",
    BLACK_LEVEL: "BlackLevel",
    BLACK_DELTA_H: "BlackLevelDeltaH",
    BLACK_DELTA_V: "BlackLevelDeltaV",
    WHITE_LEVEL: "WhiteLevel",
    ACTIVE_AREA: "ActiveArea",
}
"""Tags that decide pixel values or their places. Where one is absent, the specification's default holds."""
NOT_COMPRESSED = frozenset({0, 1})
DEPTHS = range(8, 17)
"""Bits of a sample that rawkd reads."""


def refuse_unreadable(raw: Ifd) -> None:
    """Refuse a raw picture with a tag that decides pixel values but cannot be read as numbers.

    Raises
    ------
    InputError: the message names the tag.
    """
    for number, name in DECISIVE.items():
        if raw.is_unreadable(number):
            raise InputError(f"the file is damaged: its {name} (tag {number}) cannot be read. {USE_COPY}")
    if CFA_PATTERN in raw.damaged or (CFA_PATTERN in raw.tags and not cfa_codes(raw)):
        raise InputError(f"the file is damaged: its CFAPattern (tag {CFA_PATTERN}) cannot be read. {USE_COPY}")


def refuse_layout(raw: Ifd) -> None:
    """Refuse a raw picture whose strips or tiles overlap, or have the bytes of another number of bits.

    Raises
    ------
    InputError: if the tags contradict each other.
    """
    bits = int(raw.number(BITS) or 0)
    if bits < 1:
        raise InputError(f"the file is damaged: it does not state the bits of a pixel. {USE_COPY}")
    is_tiled = TILES[0] in raw.tags
    offsets, counts = (raw.numbers(number) for number in (TILES if is_tiled else STRIPS))
    what = "tiles" if is_tiled else "strips"
    is_plain = int(raw.number(COMPRESSION) or 1) in NOT_COMPRESSED
    sizes = _block_bytes(raw, bits) if is_plain else []
    least = sizes if len(sizes) == len(offsets) else [1] * len(offsets)
    blocks = sorted(zip(offsets, least, strict=True))
    if any(at < HEADER_BYTES for at in offsets):
        raise InputError(f"the file is damaged: the {what} of its raw picture overlap its header. {USE_COPY}")
    if any(at + size > after for (at, size), (after, _) in pairwise(blocks)):
        raise InputError(f"the file is damaged: the {what} of its raw picture overlap one another. {USE_COPY}")
    stated = sum(counts)
    if is_plain and stated != sum(sizes):
        for other in DEPTHS:
            if stated == sum(_block_bytes(raw, other)):
                wrong = f"it states {bits} bits for each pixel, and its {what} have {other}"
                raise InputError(f"the file is damaged: {wrong}. {USE_COPY}")


def _block_bytes(raw: Ifd, bits: int) -> list[int]:
    """Return the bytes of each strip or tile of an uncompressed picture: each row begins with a byte."""
    height, width = size_of(raw)
    if TILES[0] in raw.tags:
        rows, columns = (int(raw.number(number) or 0) for number in (TILE_HEIGHT, TILE_WIDTH))
        if min(rows, columns) < 1:
            return []
        return [rows * -(-columns * bits // 8)] * len(raw.numbers(TILES[0]))
    rows, row_bytes = int(raw.number(ROWS_PER_STRIP) or height), -(-width * bits // 8)
    if rows < 1 or -(-height // rows) != len(raw.numbers(STRIPS[0])):
        return [height * row_bytes]
    return [min(rows, height - top) * row_bytes for top in range(0, height, rows)]
