"""Bad pixels that the opcode lists of a DNG name.

Source: DNG specification 1.4 to 1.7, chapter 7: FixBadPixelsConstant (4) and FixBadPixelsList (5). Lists are big-endian
in files of any byte order. List 1 speaks of the stored samples of the whole frame, list 2 of the linearised ones of the
active area. LibRaw applies neither to the samples that it gives.
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
"""Opcodes that mean the same whatever the samples count: warps, vignetting, listed pixels, bounds."""
MOST_BAD = 0.01
"""Part of the frame that may be bad; a list that names more is not believed (our choice)."""


@dataclass(frozen=True)
class Opcode:
    """One entry of an opcode list: its number, the DNG version that it needs, its flags and its parameters."""

    number: int
    version: int
    flags: int
    data: bytes


def read_opcodes(data: bytes) -> tuple[Opcode, ...]:
    """The entries of an opcode list.

    Raises
    ------
    InputError: if the list is longer or shorter than it says.
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
        raise InputError("an opcode list whose length is not what it says")
    return tuple(found)


def write_opcodes(opcodes: tuple[Opcode, ...]) -> bytes:
    """Undo `read_opcodes`."""
    entries = (struct.pack(">4I", one.number, one.version, one.flags, len(one.data)) + one.data for one in opcodes)
    return struct.pack(">I", len(opcodes)) + b"".join(entries)


def bad_pixels(tags: Mapping[int, Tag], frame: FrameArray, area: Rect) -> tuple[PixelArray, tuple[str, ...]]:
    """Rows and columns in the active area of the pixels that a DNG names as bad, and why some names are not believed.

    Parameters
    ----------
    tags : those of the raw picture. frame : its samples, linearised.
    """
    bad = np.zeros((area.height, area.width), bool) if tags.keys() & {LIST_1, LIST_2} else None
    if bad is None:
        return np.empty((0, 2), np.int64), ()
    told = []
    for number, origin in ((LIST_1, (area.top, area.left)), (LIST_2, (0, 0))):
        try:
            for opcode in read_opcodes(tags[number].data) if number in tags else ():
                if opcode.number == FIX_BAD_PIXELS_LIST:
                    _mark_listed(bad, opcode.data, origin)
                elif opcode.number == FIX_BAD_PIXELS_CONSTANT and number == LIST_1:
                    _mark_constant(bad, opcode.data, frame[area.slices], linearised=LINEARIZATION_TABLE in tags)
        except InputError as error:
            told.append(f"the file's bad pixels are not used: it has {error}")
    return np.argwhere(bad), tuple(told)


def counts_stored_numbers(tags: Iterable[Tag]) -> bool:
    """Whether an opcode of list 1, which a copy keeps, holds for the samples' numbers as they are stored.

    Such a table or polynomial says something else of numbers on another scale. An unreadable list may be one.
    """
    try:
        opcodes = [one for tag in tags if tag.number == LIST_1 for one in read_opcodes(tag.data)]
    except InputError:
        return True
    return any(one.number not in OF_ANY_SCALE | {FIX_BAD_PIXELS_CONSTANT} for one in opcodes)


def without_marks(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Tags for new samples: without the opcode that takes all samples of one value for bad, as sound ones may be."""
    return tuple(kept for tag in tags if (kept := _without_constant(tag)) is not None)


def _without_constant(tag: Tag) -> Tag | None:
    """The tag without FixBadPixelsConstant; None where that was all, itself where it has none or cannot be read."""
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
    """FixBadPixelsList: Bayer phase, numbers of points and rectangles; row, column; top, left, bottom, right."""
    values = _numbers(data)
    points, rects = (int(value) for value in values[1:3]) if len(values) >= 3 else (-1, 0)
    if len(values) != 3 + 2 * points + 4 * rects:
        raise InputError("a list of bad pixels whose length is not what it says")
    corners = values[3 + 2 * points :].reshape(-1, 4) - np.tile(origin, 2)
    corners = np.clip(corners, 0, np.tile(bad.shape, 2))
    extent = np.maximum(corners[:, 2:] - corners[:, :2], 0)
    places = values[3 : 3 + 2 * points].reshape(-1, 2) - origin
    places = places[((places >= 0) & (places < bad.shape)).all(axis=1)]
    _believe(len(places) + int(extent.prod(axis=1).sum()), bad.size)
    bad[places[:, 0], places[:, 1]] = True
    for top, left, bottom, right in corners[extent.all(axis=1)]:
        bad[top:bottom, left:right] = True


def _mark_constant(bad: NDArray[np.bool_], data: bytes, samples: FrameArray, *, linearised: bool) -> None:
    """FixBadPixelsConstant: the value that stands for bad pixels, Bayer phase."""
    values = _numbers(data)
    if len(values) != 2:
        raise InputError("a value for bad pixels that cannot be read")
    if linearised:
        raise InputError("a value for bad pixels that its linearisation table has replaced")
    marked = samples == values[0]
    _believe(int(marked.sum()), bad.size)
    bad |= marked


def _numbers(data: bytes) -> NDArray[np.int64]:
    if len(data) % 4:
        raise InputError("an opcode whose length is not what it says")
    return np.frombuffer(data, ">u4").astype(np.int64)


def _believe(count: int, size: int) -> None:
    if count > MOST_BAD * size:
        raise InputError(f"{count} of {size} pixels named as bad")
