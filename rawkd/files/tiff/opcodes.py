"""Read opcode lists of a DNG and find the bad pixels that they list.

Source: DNG specification 1.4 to 1.7, chapter 7: FixBadPixelsConstant (4) and FixBadPixelsList (5). Lists are big-endian
in files of any byte order. List 1 refers to the stored pixels of the whole frame, list 2 to the linearised pixels of
the active area. LibRaw applies neither list to the pixels that it returns.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.files.tiff.dng_tags import LINEARIZATION_TABLE
from rawkd.photo import FrameArray, PixelArray, Rect, Tag

LIST_1, LIST_2 = 51008, 51009
FIX_BAD_PIXELS_CONSTANT, FIX_BAD_PIXELS_LIST = 4, 5
OF_ANY_SCALE = frozenset({1, 2, 3, FIX_BAD_PIXELS_LIST, 6, 14})
"""Opcodes that do not depend on the scale of the pixels: warps, vignetting, listed pixels, bounds."""
MAX_BAD = 0.01
"""Largest fraction of bad pixels; a list with more is ignored (our choice)."""


@dataclass(frozen=True)
class Opcode:
    """One entry of an opcode list: number, minimum DNG version, flags and parameters."""

    number: int
    version: int
    flags: int
    data: bytes


def read_opcodes(data: bytes) -> tuple[Opcode, ...]:
    """Return the entries of an opcode list.

    Raises
    ------
    InputError: if the list is longer or shorter than it states.
    """
    try:
        (count,) = struct.unpack_from(">I", data)
        found, place = [], 4
        for _ in range(count):
            number, version, flags, size = struct.unpack_from(">4I", data, place)
            place += 16 + size
            found.append(Opcode(number, version, flags, data[place - size : place]))
    except struct.error:
        place = -1
    if place != len(data):
        raise InputError("an opcode list has the wrong length")
    return tuple(found)


def write_opcodes(opcodes: tuple[Opcode, ...]) -> bytes:
    """Encode the entries of an opcode list; the inverse of `read_opcodes`."""
    entries = (struct.pack(">4I", one.number, one.version, one.flags, len(one.data)) + one.data for one in opcodes)
    return struct.pack(">I", len(opcodes)) + b"".join(entries)


def bad_pixels(tags: Mapping[int, Tag], frame: FrameArray, area: Rect) -> tuple[PixelArray, tuple[str, ...]]:
    """Return (n, 2) rows and columns in the active area of pixels listed as bad, and a warning for each ignored list.

    Parameters
    ----------
    tags : tags of the raw picture. frame : its linearised pixels. area : its active area.
    """
    bad = np.zeros((area.height, area.width), bool) if tags.keys() & {LIST_1, LIST_2} else None
    if bad is None:
        return np.empty((0, 2), np.int64), ()
    warnings = []
    for number, origin in ((LIST_1, (area.top, area.left)), (LIST_2, (0, 0))):
        try:
            for opcode in read_opcodes(tags[number].data) if number in tags else ():
                if opcode.number == FIX_BAD_PIXELS_LIST:
                    _mark_listed(bad, opcode.data, origin)
                elif opcode.number == FIX_BAD_PIXELS_CONSTANT and number == LIST_1:
                    _mark_constant(bad, opcode.data, frame[area.slices], linearised=LINEARIZATION_TABLE in tags)
        except InputError as error:
            warnings.append(f"the file's list of bad pixels is invalid ({error}) and is not used")
    return np.argwhere(bad), tuple(warnings)


def depends_on_stored_values(tags: Iterable[Tag]) -> bool:
    """Return whether list 1, which a copy keeps, has an opcode that depends on the scale of the stored integers.

    Tables and polynomials do. An unreadable list counts as such.
    """
    try:
        opcodes = [one for tag in tags if tag.number == LIST_1 for one in read_opcodes(tag.data)]
    except InputError:
        return True
    return any(one.number not in OF_ANY_SCALE | {FIX_BAD_PIXELS_CONSTANT} for one in opcodes)


def without_bad_pixel_value(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Return the tags without FixBadPixelsConstant, which marks all pixels of one value as bad."""
    return tuple(kept for tag in tags if (kept := _without_constant(tag)) is not None)


def _without_constant(tag: Tag) -> Tag | None:
    """Remove FixBadPixelsConstant from a tag; return None if nothing is left, and an unreadable tag unchanged."""
    if tag.number != LIST_1:
        return tag
    try:
        opcodes = read_opcodes(tag.data)
    except InputError:
        return tag
    kept = tuple(one for one in opcodes if one.number != FIX_BAD_PIXELS_CONSTANT)
    if kept == opcodes:
        return tag
    data = write_opcodes(kept)
    return Tag(tag.number, tag.type, len(data), data) if kept else None


def _mark_listed(bad: NDArray[np.bool_], data: bytes, origin: tuple[int, int]) -> None:
    """Mark the pixels of a FixBadPixelsList.

    Its numbers: Bayer phase, count of points, count of rectangles; row, column of each point; top, left, bottom, right
    of each rectangle.
    """
    values = _numbers(data)
    points, rects = (int(value) for value in values[1:3]) if len(values) >= 3 else (-1, 0)
    if len(values) != 3 + 2 * points + 4 * rects:
        raise InputError("it has the wrong length")
    corners = values[3 + 2 * points :].reshape(-1, 4) - np.tile(origin, 2)
    corners = np.clip(corners, 0, np.tile(bad.shape, 2))
    extent = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    places = values[3 : 3 + 2 * points].reshape(-1, 2) - origin
    places = places[((places >= 0) & (places < bad.shape)).all(axis=1)]
    _check_count(len(places) + int(extent.prod(axis=1).sum()), bad.size)
    bad[places[:, 0], places[:, 1]] = True
    for top, left, bottom, right in corners[extent.all(axis=1)]:
        bad[top:bottom, left:right] = True


def _mark_constant(bad: NDArray[np.bool_], data: bytes, samples: FrameArray, *, linearised: bool) -> None:
    """Mark all pixels with the value of a FixBadPixelsConstant (its numbers: value, Bayer phase)."""
    values = _numbers(data)
    if len(values) != 2:
        raise InputError("its value for bad pixels cannot be read")
    if linearised:
        raise InputError("its value for bad pixels refers to pixels before the linearisation table")
    marked = samples == values[0]
    _check_count(int(marked.sum()), bad.size)
    bad |= marked


def _numbers(data: bytes) -> NDArray[np.int64]:
    if len(data) % 4:
        raise InputError("an opcode has the wrong length")
    return np.frombuffer(data, ">u4").astype(np.int64)


def _check_count(count: int, size: int) -> None:
    if count > MAX_BAD * size:
        raise InputError(f"it marks {count} of {size} pixels as bad")
