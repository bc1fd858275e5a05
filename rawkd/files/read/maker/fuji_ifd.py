"""Read the black levels of a RAF from Fujifilm's directory, because LibRaw reports only one for each colour.

The directory (tag 0xF000) is in the TIFF structure at the start of the raw data; tag 0xF00A holds the black levels, 36
of X-Trans, row by row from the origin of the visible area (ExifTool's FujiIFD).
"""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from rawkd.photo import RawPhoto

MAGIC = b"FUJIFILMCCD-RAW "
RAW_DATA_AT = 100
FUJI_IFD, BLACK_LEVEL = 0xF000, 0xF00A
SIZES = {3: "H", 4: "I"}
"""Struct codes of the TIFF types SHORT and LONG."""
MOST_ENTRIES = 256


def black_levels_of_raf(path: Path) -> tuple[int, ...]:
    """Return the black levels in DN; empty if the file is no RAF or states none.

    Raises
    ------
    OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            return ()
        try:
            stream.seek(RAW_DATA_AT)
            (start,) = struct.unpack(">I", stream.read(4))
            stream.seek(start)
            header = stream.read(8)
            order = {b"II": "<", b"MM": ">"}[header[:2]]
            (first,) = struct.unpack(order + "I", header[4:])
            (directory,) = _values(stream, order, start, first, FUJI_IFD)
            return _values(stream, order, start, directory, BLACK_LEVEL)
        except (struct.error, KeyError, ValueError):  # a damaged or older directory
            return ()


def _values(stream: BinaryIO, order: str, start: int, directory: int, number: int) -> tuple[int, ...]:
    """Return the integers of a tag; empty if the directory does not have it. Offsets count from `start`."""
    stream.seek(start + directory)
    (count,) = struct.unpack(order + "H", stream.read(2))
    table = stream.read(12 * min(count, MOST_ENTRIES))
    for at in range(0, len(table) - 11, 12):
        tag, kind, length = struct.unpack(order + "HHI", table[at : at + 8])
        if tag != number:
            continue
        code = order + str(min(length, MOST_ENTRIES)) + SIZES[kind]
        data = table[at + 8 : at + 12]
        if struct.calcsize(code) > len(data):
            stream.seek(start + struct.unpack(order + "I", data)[0])
            data = stream.read(struct.calcsize(code))
        return struct.unpack(code, data[: struct.calcsize(code)])
    return ()


def with_blacks_of_raf(photo: RawPhoto, path: Path) -> RawPhoto:
    """Return the photo with one black level for each site of its X-Trans cell, if its file states unequal levels.

    Raises
    ------
    OSError: if the file cannot be read.
    """
    side = photo.pattern.side
    stated = black_levels_of_raf(path) if photo.pattern.kind == "xtrans" else ()
    if len(stated) != side**2 or len(set(stated)) == 1:
        return photo
    black = np.array(stated, np.float64).reshape(side, side)
    return replace(photo, levels=replace(photo.levels, black_dn=black, mean_black_dn=math.nan))
