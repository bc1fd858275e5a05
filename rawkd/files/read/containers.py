"""Find EXIF in raw files that are not TIFF (CR3, RAF, MRW and CRW), and the maker notes of a RW2.

Sources: ISO 14496-12 boxes with Canon's CMT1-4; the JPEG offset in a RAF header; Minolta's MRW blocks; Panasonic's
embedded JPEG. Damaged blocks are treated as missing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from rawkd.errors import InputError
from rawkd.files.read.maker.ciff import read_ciff
from rawkd.files.tiff.maker_note import MakerNote, read_note
from rawkd.files.tiff.tags import Ifd, TagTree, read_tiff, read_tiff_bytes

CANON_UUID = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
MAX_BLOB_BYTES = 32 << 20
CMT_ROLES = {b"CMT1": "main", b"CMT2": "exif", b"CMT3": "note", b"CMT4": "gps"}
TIFF_HEADER_BYTES = 8
PANASONIC_MAGICS, JPEG_FROM_RAW = (b"U\0", b"\0U"), 46
LENS_NUMBERS = range(42034, 42038)
NOT_COPIED_BLOCKS = frozenset({b"\0TTW", b"\0PAD"})
"""Blocks of a MRW: EXIF, which an output has anyway, and padding."""
MAX_MRW_BLOCKS = 64
"""More blocks are taken for damage. Minolta's format names five kinds (our choice)."""


def read_tag_tree(path: Path) -> TagTree | None:
    """Return the tag directories of a raw file of any format, or None if it has none.

    A CR3 stores IFD0, EXIF, maker notes and GPS in separate TIFF structures, which are joined to one IFD0. A RW2
    has its maker notes in its embedded JPEG.

    Raises
    ------
    InputError: if the file is a damaged TIFF.
    UnsupportedRawError: if it is a BigTIFF.
    OSError: if the file cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(32)
        if head[:2] in (b"II", b"MM") and head[6:10] != b"HEAP":
            tree = read_tiff(stream)
            return _with_notes_of_jpeg(tree) if tree is not None and head[2:4] in PANASONIC_MAGICS else tree
        found: dict[str, TagTree] = {}
        note: MakerNote | None = None
        for role, blob in _blobs(stream, head):
            if role == "note":
                note = _note_of_tiff(blob)
                continue
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
    if note is not None and exif is not None:
        exif = replace(exif, maker_note=note)
    return TagTree((replace(main, exif=exif, gps=gps),))


def _note_of_tiff(blob: bytes) -> MakerNote | None:
    """Return the maker notes that follow a TIFF header of their own; None if there are none."""
    length = len(blob) - TIFF_HEADER_BYTES
    if length <= 0 or blob[:2] not in (b"II", b"MM"):
        return None
    return read_note(io.BytesIO(blob), len(blob), blob[:2], TIFF_HEADER_BYTES, length)


def _with_notes_of_jpeg(tree: TagTree) -> TagTree:
    """Return the directories with the maker notes, and the lens fields that they lack, of the JPEG inside a RW2."""
    jpeg = tree.main.tags.get(JPEG_FROM_RAW)
    try:
        inner = None if jpeg is None else read_tiff_bytes(_exif_of_jpeg(jpeg.data))
    except InputError:
        inner = None
    if inner is None or inner.main.exif is None:
        return tree
    exif = tree.main.exif or Ifd({})
    lens = {number: tag for number, tag in inner.main.exif.tags.items() if number in LENS_NUMBERS}
    exif = replace(exif, tags={**lens, **exif.tags}, maker_note=exif.maker_note or inner.main.exif.maker_note)
    return TagTree((replace(tree.main, exif=exif), *tree.chain[1:]))


def _blobs(stream: BinaryIO, head: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the TIFF structures inside a raw file that is not a TIFF, each with its role: main, exif, note or gps."""
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
    ciff = read_ciff(path)
    return ("", "") if ciff is None else ciff.make_model()


def read_mrw_blocks(path: Path) -> tuple[tuple[bytes, bytes], ...]:
    """Return the blocks of a Minolta raw's header, each with its name, without EXIF; empty for other formats."""
    with path.open("rb") as stream:
        if stream.read(4) != b"\0MRM":
            return ()
        return tuple((kind, stream.read(size)) for kind, size in _mrw_blocks(stream) if kind not in NOT_COPIED_BLOCKS)


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
    for kind, size in _mrw_blocks(stream):
        if kind == b"\0TTW":
            yield "main", stream.read(size)


def _mrw_blocks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and size of each block in the header of a MRW; the stream then stands at the block's content."""
    file_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(4)
    (length,) = _unpack(">I", stream.read(4))
    at, end = 8, min(8 + min(length, MAX_BLOB_BYTES), file_bytes)
    for _ in range(MAX_MRW_BLOCKS):
        if at + 8 > end:
            return
        stream.seek(at)
        kind, size = _unpack(">4sI", stream.read(8))
        yield kind, min(size, MAX_BLOB_BYTES)
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
