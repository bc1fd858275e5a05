"""Read the heap of a CRW (Canon's CIFF), which takes the place of EXIF and maker notes.

Source: CIFF specification 1.0 revision 4. Damaged parts are treated as missing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MAKE_MODEL, CAMERA_SETTINGS = 0x080A, 0x102D
NUMBER, IN_DIRECTORY, KIND = 0x3FFF, 0x4000, 0x3800
"""Bits of a tag: number with data type; whether the value stands in the directory; data type alone."""
HEAPS = (0x2800, 0x3000)
PICTURES = frozenset({0x2005, 0x2007, 0x2008})
"""Raw data, the camera's JPEG and the thumbnail."""
MAX_DEPTH = 4
MAX_ENTRIES = 512
"""Entries of all directories of one file together; more are not read. A Canon PowerShot G2 writes 40 (our choice)."""
MAX_HEAP_BYTES = 8 << 20
"""Records of one file together; more is taken for damage. Cameras write some 20 KB (our choice)."""


@dataclass(frozen=True)
class CiffRecord:
    """One value: its 16-bit tag as in the file, with all bits, and its bytes."""

    tag: int
    data: bytes

    @property
    def number(self) -> int:
        """The tag's number with its data type."""
        return self.tag & NUMBER


@dataclass(frozen=True)
class Ciff:
    """All values of a CRW but its pictures, in the order of its heaps. byte_order : b"II" or b"MM"."""

    byte_order: bytes
    records: tuple[CiffRecord, ...]

    def value(self, number: int) -> bytes:
        """Return the first value with this number; empty if there is none."""
        return next((one.data for one in self.records if one.number == number), b"")

    def shorts(self, number: int) -> tuple[int, ...]:
        """Return a value as unsigned 16-bit integers."""
        data = self.value(number)
        order = "<" if self.byte_order == b"II" else ">"
        return struct.unpack(f"{order}{len(data) // 2}H", data[: len(data) // 2 * 2])

    def make_model(self) -> tuple[str, str]:
        """Return make and model; empty if they are missing."""
        make, _, model = self.value(MAKE_MODEL).partition(b"\0")
        return _ascii(make), _ascii(model.split(b"\0", 1)[0])


def read_ciff(path: Path) -> Ciff | None:
    """Return the values of a CRW; None for a file of another format.

    Raises
    ------
    OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(14)
        if head[6:14] != b"HEAPCCDR" or head[:2] not in (b"II", b"MM"):
            return None
        order = "<" if head[:2] == b"II" else ">"
        (start,) = struct.unpack(order + "I", head[2:6])
        size = stream.seek(0, io.SEEK_END)
        records: list[CiffRecord] = []
        left = MAX_HEAP_BYTES
        for one in _Heaps(stream, order).records(start, size, MAX_DEPTH):
            left -= len(one.data) + 6
            if left < 0:
                break
            records.append(one)
    return Ciff(head[:2], tuple(records))


@dataclass
class _Heaps:
    """Reads the values of nested heaps, of each heap once, because a damaged heap may contain itself.

    Attributes
    ----------
    stream : the file. order : byte order of `struct`. visited : start and end of the heaps that were read.
    entries_left : number of directory entries that may still be read.
    """

    stream: BinaryIO
    order: str
    visited: set[tuple[int, int]] = field(default_factory=set)
    entries_left: int = MAX_ENTRIES

    def records(self, start: int, end: int, depth: int) -> Iterator[CiffRecord]:
        """Yield the values of a heap and of the heaps inside it."""
        if depth == 0 or (start, end) in self.visited:
            return
        self.visited.add((start, end))
        for tag, entry in self._directory(start, end):
            if tag & IN_DIRECTORY:
                yield CiffRecord(tag, entry)
                continue
            length, offset = struct.unpack(self.order + "II", entry)
            if start + offset + length > end:
                continue
            if tag & KIND in HEAPS:
                yield from self.records(start + offset, start + offset + length, depth - 1)
            elif tag & NUMBER not in PICTURES and length <= MAX_HEAP_BYTES:
                self.stream.seek(start + offset)
                yield CiffRecord(tag, self.stream.read(length))

    def _directory(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries of a heap's directory, each as its tag and the 8 bytes of length and offset, or value."""
        if not 0 <= start < end - 4:
            return
        self.stream.seek(end - 4)
        (directory,) = struct.unpack(self.order + "I", self.stream.read(4))
        self.stream.seek(start + directory)
        head = self.stream.read(2)
        if len(head) < 2:
            return
        (count,) = struct.unpack(self.order + "H", head)
        table = self.stream.read(10 * min(count, MAX_ENTRIES))
        for at in range(0, len(table) - 9, 10):
            if self.entries_left == 0:
                return
            self.entries_left -= 1
            (tag,) = struct.unpack(self.order + "H", table[at : at + 2])
            yield tag, table[at + 2 : at + 10]


def _ascii(data: bytes) -> str:
    return data.decode("ascii", "replace").strip()
