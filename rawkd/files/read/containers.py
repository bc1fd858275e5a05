"""Find EXIF in raw files that are not TIFF: CR3, RAF, MRW and CRW.

Sources: ISO 14496-12 boxes with Canon's CMT1-4; the JPEG offset in a RAF header; Minolta's MRW blocks; Canon's CIFF
heap. Damaged blocks are treated as missing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from rawkd.errors import InputError
from rawkd.files.tiff.tags import Ifd, TagTree, read_tiff, read_tiff_bytes

CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
MAX_BLOB_BYTES = 32 << 20
CMT_ROLES = {b"CMT1": "main", b"CMT2": "exif", b"CMT4": "gps"}
CIFF_MAKE_MODEL = 0x080A


def read_tag_tree(path: Path) -> TagTree | None:
    """Return the tag directories of a raw file of any format, or None if it has none.

    A CR3 stores IFD0, EXIF and GPS in separate TIFF structures, which are joined to one IFD0.

    Raises
    ------
    InputError: if the file is a damaged TIFF.
    UnsupportedRawError: if it is a BigTIFF.
    OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(32)
        if head[:2] in (b"II", b"MM") and head[6:10] != b"HEAP":
            return read_tiff(stream)
        found: dict[str, TagTree] = {}
        for role, blob in _blobs(stream, head):
            try:
                tree = read_tiff_bytes(blob)
            except InputError:
                continue  # the pixels can be intact even if this block is damaged
            if tree is not None:
                found[role] = tree
    if not found:
        return None
    main = found["main"].main if "main" in found else Ifd({})
    exif = found["exif"].main if "exif" in found else main.exif
    gps = found["gps"].main if "gps" in found else main.gps
    return TagTree((replace(main, exif=exif, gps=gps),))


def _blobs(stream: BinaryIO, head: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the TIFF structures inside a raw file that is not a TIFF, each with its role: main, exif or gps."""
    if head[4:12] == b"ftypcrx ":
        yield from _cr3_blobs(stream)
    elif head.startswith(b"FUJIFILMCCD-RAW "):
        stream.seek(84)
        offset, length = _unpack(">II", stream.read(8))
        stream.seek(offset)
        yield "main", _exif_of_jpeg(stream.read(min(length, MAX_BLOB_BYTES)))
    elif head.startswith(b"\0MRM"):
        yield from _mrw_blobs(stream)


def read_ciff_make_model(path: Path) -> tuple[str, str]:
    """Return make and model of a CRW; empty if the file is not a CRW or does not state them."""
    with path.open("rb") as stream:
        head = stream.read(14)
        if head[6:14] != b"HEAPCCDR" or head[:2] not in (b"II", b"MM"):
            return "", ""
        order = "<" if head[:2] == b"II" else ">"
        (start,) = _unpack(order + "I", head[2:6])
        size = stream.seek(0, io.SEEK_END)
        for value in _ciff_values(stream, order, start, size, depth=4):
            make, _, model = value.partition(b"\0")
            return _ascii(make), _ascii(model.split(b"\0", 1)[0])
    return "", ""


def _ciff_values(stream: BinaryIO, order: str, start: int, end: int, depth: int) -> Iterator[bytes]:
    """Yield the make-and-model records of a CIFF heap and of the heaps inside it."""
    if not 0 <= start < end - 4 or depth == 0:
        return
    stream.seek(end - 4)
    (directory,) = _unpack(order + "I", stream.read(4))
    stream.seek(start + directory)
    (count,) = _unpack(order + "H", stream.read(2))
    table = stream.read(10 * min(count, 512))
    for at in range(0, len(table) - 9, 10):
        tag, length, offset = struct.unpack(order + "HII", table[at : at + 10])
        if tag & 0x4000 or start + offset + length > end:
            continue
        if tag & 0x3FFF == CIFF_MAKE_MODEL:
            stream.seek(start + offset)
            yield stream.read(min(length, 256))
        elif tag & 0x3800 in (0x2800, 0x3000):
            yield from _ciff_values(stream, order, start + offset, start + offset + length, depth - 1)


def _cr3_blobs(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    size = stream.seek(0, io.SEEK_END)
    for kind, start, end in _boxes(stream, 0, size):
        if kind != b"moov":
            continue
        for inner, inner_start, inner_end in _boxes(stream, start, end):
            stream.seek(inner_start)
            if inner == b"uuid" and stream.read(16) == CANON_UUID:
                for name, at, stop in _boxes(stream, inner_start + 16, inner_end):
                    if name in CMT_ROLES:
                        stream.seek(at)
                        yield CMT_ROLES[name], stream.read(min(stop - at, MAX_BLOB_BYTES))


def _boxes(stream: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes of ISO 14496-12 between two offsets: kind, start and end of the content."""
    for _ in range(256):
        if start + 8 > end:
            return
        stream.seek(start)
        length, kind = _unpack(">I4s", stream.read(8))
        header = 8
        if length == 1:
            (length,) = _unpack(">Q", stream.read(8))
            header = 16
        stop = end if length == 0 else start + length
        if length not in (0,) and (length < header or stop > end):
            return
        yield kind, start + header, stop
        start = stop


def _mrw_blobs(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    stream.seek(4)
    (length,) = _unpack(">I", stream.read(4))
    at, end = 8, 8 + min(length, MAX_BLOB_BYTES)
    while at + 8 <= end:
        stream.seek(at)
        kind, size = _unpack(">4sI", stream.read(8))
        if kind == b"\0TTW":
            yield "main", stream.read(min(size, MAX_BLOB_BYTES))
        at += 8 + size


def _exif_of_jpeg(jpeg: bytes) -> bytes:
    """Return the TIFF structure in the APP1 segment of a JPEG; empty if there is none."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != 0xDA:
        (length,) = struct.unpack(">H", jpeg[at + 2 : at + 4])
        if jpeg[at + 1] == 0xE1 and jpeg[at + 4 : at + 10] == b"Exif\0\0":
            return jpeg[at + 10 : at + 2 + length]
        at += 2 + max(length, 2)
    return b""


def _unpack(layout: str, data: bytes) -> tuple[Any, ...]:
    """Unpack values of a fixed layout; values beyond the end of the file are zero."""
    size = struct.calcsize(layout)
    return struct.unpack(layout, data.ljust(size, b"\0"))


def _ascii(data: bytes) -> str:
    return data.decode("ascii", "replace").strip()
