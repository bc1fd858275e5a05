"""Read TIFF structures: IFD0, its chain, SubIFDs, EXIF and GPS, as tags with little-endian bytes.

Sources: TIFF 6.0; EXIF 2.32; raw variants of TIFF by their magic numbers (Olympus ORF, Panasonic RW2). Time and memory
are bounded by the file's size, so that damaged files cannot exhaust them.
"""

from __future__ import annotations

import io
import math
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.tiff.maker_note import MAKER_NOTE, MakerNote, read_note
from rawkd.photo import Tag

SIZE_OF_TYPE = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes per value of each TIFF type, BYTE = 1 to IFD = 13."""

FORMAT_OF_TYPE = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I"}
"""struct format of one value of each numeric type; rationals are two integers."""

BYTE_ORDERS = {b"II": "<", b"MM": ">"}
TIFF_MAGICS = (42, 0x55, 0x4F52, 0x5352)  # TIFF, Panasonic, Olympus "RO" and "RS"
BIG_TIFF_MAGIC = 43
SUB_IFDS, EXIF_IFD, GPS_IFD = 330, 34665, 34853

SKIPPED_TAGS = frozenset({50828})
"""Tags whose data is not read, only their presence noted: OriginalRawFileData may be as long as the file."""

BYTE_STREAMS = frozenset({700, 33723, 34377})
"""XMP, IPTC and Photoshop: byte streams whose bytes are never swapped, whatever type they have (IPTC is often LONG)."""

MAX_IFDS = 64
MAX_TAG_BYTES = 32 << 20
MAX_TOTAL_BYTES = 96 << 20


@dataclass(frozen=True)
class Ifd:
    """One image file directory that was read.

    Attributes
    ----------
    tags : fields by tag number; the first one if a number repeats. offset : its offset in the TIFF structure.
    sub : its SubIFDs (330). exif, gps : the directories that tags 34665 and 34853 point to.
    maker_note : its maker notes (37500) and where they lie.
    damaged : numbers of fields whose values cannot be read: an unknown type, no value, or values outside the file.
    """

    tags: Mapping[int, Tag]
    offset: int = 0
    sub: tuple[Ifd, ...] = ()
    exif: Ifd | None = None
    gps: Ifd | None = None
    maker_note: MakerNote | None = None
    damaged: frozenset[int] = frozenset()

    def numbers(self, number: int) -> tuple[float, ...]:
        """Return the values of a numeric tag, rationals as quotients; empty if missing, not numeric or not finite."""
        tag = self.tags.get(number)
        return () if tag is None else tag_numbers(tag)

    def number(self, number: int) -> float | None:
        """Return the first value of a numeric tag, or None."""
        values = self.numbers(number)
        return values[0] if values else None

    def is_unreadable(self, number: int) -> bool:
        """Return whether a tag is present, but not as finite numbers."""
        return number in self.damaged or (number in self.tags and not self.numbers(number))

    def text(self, number: int) -> str:
        """Return a text tag without padding; empty if it is missing."""
        tag = self.tags.get(number)
        if tag is None or tag.type not in (1, 2, 7):
            return ""
        return tag.data.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


@dataclass(frozen=True)
class TagTree:
    """The directories of one TIFF structure: IFD0 and the IFDs chained to it."""

    chain: tuple[Ifd, ...] = field(default=())

    @property
    def main(self) -> Ifd:
        """IFD0."""
        return self.chain[0]

    def all_ifds(self) -> Iterator[Ifd]:
        """Yield IFD0, its chain and all SubIFDs, depth first."""
        stack = list(reversed(self.chain))
        while stack:
            ifd = stack.pop()
            yield ifd
            stack.extend(reversed(ifd.sub))


def tag_numbers(tag: Tag) -> tuple[float, ...]:
    """Return the values of a numeric tag; empty for text, for type UNDEFINED, and for numbers that are not finite."""
    code = FORMAT_OF_TYPE.get(tag.type)
    if code is None:
        return ()
    values: tuple[float, ...] = struct.unpack(
        "<" + code * tag.count if len(code) > 1 else f"<{tag.count}{code}", tag.data
    )
    if tag.type not in (5, 10):
        return tuple(map(float, values)) if all(map(math.isfinite, values)) else ()
    if any(denominator == 0 for denominator in values[1::2]):
        return ()
    return tuple(a / b for a, b in zip(values[::2], values[1::2], strict=True))


def read_tiff(stream: BinaryIO) -> TagTree | None:
    """Return the directories of a stream that starts with a TIFF header, or None if it is not a TIFF.

    Raises
    ------
    InputError: if the first directory cannot be read, or the tags claim more data than any camera writes.
    UnsupportedRawError: if it is a BigTIFF.
    OSError: if the stream cannot be read.
    """
    return _TiffReader(stream).read()


def read_tiff_bytes(data: bytes) -> TagTree | None:
    """Return the directories of a TIFF structure in memory, such as an EXIF block; see `read_tiff`."""
    return read_tiff(io.BytesIO(data))


class _TiffReader:
    """Reads the directories of a TIFF stream once, with limits on time and memory for damaged files."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self.order = "<"
        self.seen: set[int] = set()
        self.budget = MAX_TOTAL_BYTES

    def read(self) -> TagTree | None:
        header = self._bytes_at(0, 8)
        if len(header) < 8 or header[:2] not in BYTE_ORDERS:
            return None
        self.order = BYTE_ORDERS[header[:2]]
        magic, offset = struct.unpack(self.order + "HI", header[2:])
        if magic == BIG_TIFF_MAGIC:
            raise UnsupportedRawError("rawkd cannot read BigTIFF files. Convert it to a classic DNG.")
        if magic not in TIFF_MAGICS:
            return None
        chain: list[Ifd] = []
        while offset and (found := self._ifd(offset)) is not None:
            ifd, offset = found
            chain.append(ifd)
        if not chain:
            raise InputError("the first directory of tags is missing or damaged. Use another copy of the file.")
        return TagTree(tuple(chain))

    def _bytes_at(self, offset: int, length: int) -> bytes:
        self.stream.seek(offset)
        return self.stream.read(length)

    def _ifd(self, offset: int) -> tuple[Ifd, int] | None:
        """Return the directory at `offset` and the offset of the next; None if there is none or it was read before."""
        if offset in self.seen or offset + 2 > self.size or len(self.seen) >= MAX_IFDS:
            return None
        self.seen.add(offset)
        (count,) = struct.unpack(self.order + "H", self._bytes_at(offset, 2))
        table = self._bytes_at(offset + 2, 12 * count + 4)
        tags: dict[int, Tag] = {}
        note: MakerNote | None = None
        damaged: set[int] = set()
        for start in range(0, min(12 * count, len(table) - 11), 12):
            tag = self._tag(table[start : start + 12])
            if tag is not None:
                tags.setdefault(tag.number, tag)
            else:
                damaged.add(struct.unpack_from(self.order + "H", table, start)[0])
            note = note or self._maker_note(table[start : start + 12])
        if not tags:
            return None
        tail = table[12 * count :]
        following = struct.unpack(self.order + "I", tail)[0] if len(tail) == 4 else 0
        sub = [self._ifd(int(at)) for at in _pointers(tags, SUB_IFDS)]
        exif, gps = ([self._ifd(int(at)) for at in _pointers(tags, number)[:1]] for number in (EXIF_IFD, GPS_IFD))
        ifd = Ifd(
            tags=tags,
            offset=offset,
            sub=tuple(found[0] for found in sub if found is not None),
            exif=exif[0][0] if exif and exif[0] else None,
            gps=gps[0][0] if gps and gps[0] else None,
            maker_note=note,
            damaged=frozenset(damaged - tags.keys()),
        )
        return ifd, int(following)

    def _tag(self, entry: bytes) -> Tag | None:
        """Return one field, or None if its type is unknown, it has no value, or its values lie outside the file."""
        number, kind, count = struct.unpack(self.order + "HHI", entry[:8])
        size = SIZE_OF_TYPE.get(kind)
        if number in SKIPPED_TAGS:
            return Tag(number, 7, 0, b"")
        if size is None or not count or size * count > min(self.size, MAX_TAG_BYTES):
            return None
        length = size * count
        if length <= 4:
            data = entry[8 : 8 + length]
        else:
            self.budget -= length
            if self.budget < 0:
                raise InputError("the tags claim more data than any camera writes. Use another copy of the file.")
            (at,) = struct.unpack(self.order + "I", entry[8:])
            data = self._bytes_at(at, length)
            if len(data) != length:
                return None
        if number in BYTE_STREAMS and size > 1:
            return Tag(number, 7, length, data)
        return Tag(number, kind, count, data if self.order == "<" else swapped(data, kind))

    def _maker_note(self, entry: bytes) -> MakerNote | None:
        """Return the maker notes if the field has them."""
        number, kind, count, at = struct.unpack(self.order + "HHII", entry)
        length = SIZE_OF_TYPE.get(kind, 0) * count
        if number != MAKER_NOTE or length <= 4:
            return None
        return read_note(self.stream, self.size, b"II" if self.order == "<" else b"MM", at, length)


def _pointers(tags: Mapping[int, Tag], number: int) -> tuple[float, ...]:
    """Return the offsets in a pointer tag; empty if it is missing."""
    tag = tags.get(number)
    return tag_numbers(tag)[:MAX_IFDS] if tag is not None and tag.type in (4, 13) else ()


def swapped(data: bytes, kind: int) -> bytes:
    """Convert big-endian values to little-endian."""
    code = {2: "H", 4: "I", 8: "Q"}.get({5: 4, 10: 4}.get(kind, SIZE_OF_TYPE[kind]))
    if code is None:
        return data
    values = array(code, data)
    values.byteswap()
    return values.tobytes()
