"""Write TIFF structures: IFDs with nested IFDs (EXIF, GPS, SubIFDs) and picture data given as bytes.

Source: TIFF 6.0, section 2; little-endian, classic 32-bit offsets. Only this module computes offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

from rawkd.errors import OutputError
from rawkd.files.tiff.tags import SIZE_OF_TYPE
from rawkd.photo import Tag

STRIPS, TILES = (273, 279), (324, 325)
"""Tag numbers of the offsets and the byte counts of strips and of tiles."""
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, DOUBLE = 1, 2, 3, 4, 5, 7, 10, 12
HEADER_BYTES = 8
OFFSET_MAX = 2**32 - 1


@dataclass(frozen=True)
class OutputIfd:
    """One image file directory to write.

    Attributes
    ----------
    tags : the fields in any order, each number at most once, without the offset fields that the writer adds.
    children : pointer tag -> IFDs that it points to (SubIFDs, EXIF, GPS).
    blocks : encoded strips or tiles in reading order. block_tags : STRIPS or TILES.

    Raises
    ------
    OutputError: if a field occurs twice or its data has the wrong length.
    """

    tags: Sequence[Tag]
    children: Mapping[int, Sequence[OutputIfd]] = field(default_factory=dict)
    blocks: Sequence[bytes] = ()
    block_tags: tuple[int, int] = STRIPS

    def __post_init__(self) -> None:
        numbers = [tag.number for tag in self.tags] + list(self.children)
        twice = sorted({n for n in numbers if numbers.count(n) > 1})
        if twice:
            raise OutputError(f"the TIFF fields {twice} are given twice")
        for tag in self.tags:
            if tag.type not in SIZE_OF_TYPE or len(tag.data) != tag.count * SIZE_OF_TYPE[tag.type] or tag.count < 1:
                raise OutputError(
                    f"TIFF field {tag.number} has {len(tag.data)} bytes for {tag.count} values of type {tag.type}"
                )

    def entries(self, offsets: Mapping[int, int], block_offsets: Sequence[int]) -> list[Tag]:
        """Return all fields; `offsets` maps id(child) to the child's offset in the file."""
        made = [long(number, [offsets.get(id(child), 0) for child in group]) for number, group in self.children.items()]
        if self.blocks:
            made += [long(self.block_tags[0], block_offsets), long(self.block_tags[1], map(len, self.blocks))]
        return [*map(_null_terminated, self.tags), *made]

    def family(self) -> list[OutputIfd]:
        """Return the IFD and all its descendants, parents first."""
        return [self, *(member for group in self.children.values() for child in group for member in child.family())]


def write_tiff(stream: BinaryIO, root: OutputIfd) -> None:
    """Write a TIFF file: header, all IFDs with their values, then the picture data in the order of the IFDs.

    Raises
    ------
    OutputError: if the file would exceed the 4 GiB limit of classic TIFF, or a field is malformed.
    """
    family = root.family()
    offsets: dict[int, int] = {}
    cursor = HEADER_BYTES
    for ifd in family:
        offsets[id(ifd)] = cursor
        cursor += _directory_bytes(ifd.entries({}, [0] * len(ifd.blocks)))
    block_offsets: dict[int, list[int]] = {}
    for ifd in family:
        places = block_offsets.setdefault(id(ifd), [])
        for block in ifd.blocks:
            places.append(cursor)
            cursor += _even(len(block))
    if cursor > OFFSET_MAX:
        raise OutputError(f"a TIFF file of {cursor / 2**30:.1f} GiB exceeds the format's limit of 4 GiB")
    stream.write(struct.pack("<2sHI", b"II", 42, HEADER_BYTES))
    for ifd in family:
        stream.write(directory(ifd.entries(offsets, block_offsets[id(ifd)]), offsets[id(ifd)]))
    for ifd in family:
        for block in ifd.blocks:
            stream.write(block)
            stream.write(b"\0" * (len(block) % 2))


def _directory_bytes(entries: Sequence[Tag]) -> int:
    return 2 + 12 * len(entries) + 4 + sum(_even(len(tag.data)) for tag in entries if len(tag.data) > 4)


def directory(entries: Iterable[Tag], offset: int) -> bytes:
    """Return a directory for a file at `offset`: the table of fields, then the values of more than four bytes."""
    entries = sorted(entries, key=lambda tag: tag.number)
    values_at = offset + 2 + 12 * len(entries) + 4
    table, values = [struct.pack("<H", len(entries))], []
    for tag in entries:
        inline = tag.data.ljust(4, b"\0")
        if len(tag.data) > 4:
            inline = struct.pack("<I", values_at)
            values.append(tag.data.ljust(_even(len(tag.data)), b"\0"))
            values_at += len(values[-1])
        table.append(struct.pack("<HHI", tag.number, tag.type, tag.count) + inline)
    return b"".join((*table, b"\0\0\0\0", *values))


def _even(size: int) -> int:
    return size + size % 2


def _null_terminated(tag: Tag) -> Tag:
    """Add the terminating zero to a text field that lacks it (TIFF 6.0, section 2), as some cameras write it."""
    if tag.type != ASCII or tag.data.endswith(b"\0"):
        return tag
    return Tag(tag.number, ASCII, tag.count + 1, tag.data + b"\0")


def ascii_text(number: int, text: str) -> Tag:
    """Return a text field: UTF-8 with a terminating zero."""
    data = text.encode("utf-8").replace(b"\0", b"") + b"\0"
    return Tag(number, ASCII, len(data), data)


def raw_bytes(number: int, data: bytes, kind: int = BYTE) -> Tag:
    """Return a field of bytes; `kind` is BYTE or UNDEFINED."""
    return Tag(number, kind, len(data), data)


def short(number: int, values: Iterable[int]) -> Tag:
    """Return a field of integers, 0 to 65535."""
    return _integers(number, SHORT, "H", values)


def long(number: int, values: Iterable[int]) -> Tag:
    """Return a field of integers, 0 to 2^32 - 1."""
    return _integers(number, LONG, "I", values)


def integers(number: int, values: Iterable[int]) -> Tag:
    """Return a SHORT field if all values fit, else a LONG field; TIFF and DNG allow both for sizes and levels."""
    numbers = list(values)
    return short(number, numbers) if all(value <= 0xFFFF for value in numbers) else long(number, numbers)


def rational(number: int, values: Iterable[float]) -> Tag:
    """Return a field of fractions >= 0, each the nearest 32-bit fraction; n/d with d up to a million is exact."""
    return _rationals(number, RATIONAL, "I", OFFSET_MAX, values)


def srational(number: int, values: Iterable[float]) -> Tag:
    """Return a field of signed fractions; see `rational`."""
    return _rationals(number, SRATIONAL, "i", 2**31 - 1, values)


def double(number: int, values: Iterable[float]) -> Tag:
    """Return a field of 64-bit floats."""
    numbers = list(values)
    return Tag(number, DOUBLE, len(numbers), struct.pack(f"<{len(numbers)}d", *numbers))


def _integers(number: int, kind: int, code: str, values: Iterable[int]) -> Tag:
    numbers = list(values)
    try:
        return Tag(number, kind, len(numbers), struct.pack(f"<{len(numbers)}{code}", *numbers))
    except struct.error as error:
        raise OutputError(f"TIFF field {number} cannot hold the integers {numbers[:9]}: {error}") from error


def _rationals(number: int, kind: int, code: str, top: int, values: Iterable[float]) -> Tag:
    parts: list[int] = []
    for value in values:
        try:
            denominator_max = min(2**31 - 1, int(top / (abs(value) + 1)))
            fraction = Fraction(value).limit_denominator(max(1, denominator_max))
            struct.pack(f"<{code}", fraction.numerator)
        except (ValueError, OverflowError, struct.error) as error:
            raise OutputError(f"TIFF field {number} cannot hold {value} as a 32-bit fraction") from error
        parts += [fraction.numerator, fraction.denominator]
    return Tag(number, kind, len(parts) // 2, struct.pack(f"<{len(parts)}{code}", *parts))
