"""Maker notes as they lie in their source, and the DNG field in which they survive.

Offsets inside maker notes refer to their old place, so EXIF MakerNote (37500) breaks when it is copied. Adobe's
converter keeps the notes in DNGPrivateData (50740) instead, together with their old offset. ExifTool, LibRaw and
Adobe's SDK read them there.

Sources: EXIF 2.32 (MakerNote); DNG specification 1.4 (DNGPrivateData); ExifTool's description of Adobe's records.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from rawkd.photo import Tag

MAKER_NOTE, DNG_PRIVATE_DATA = 37500, 50740
MAX_NOTE_BYTES = 8 << 20
"""Longer notes are taken for damage: cameras write a few hundred KB, previews included (our choice)."""
ADOBE = b"Adobe\0"
BYTE = 1


@dataclass(frozen=True)
class MakerNote:
    """The maker notes of one EXIF directory.

    Attributes
    ----------
    data : their bytes, unchanged; empty if they cannot be read. byte_order : b"II" or b"MM", of the TIFF structure.
    offset : where they lie in that structure. problem : why they cannot be read, for a warning; else empty.
    """

    data: bytes
    byte_order: bytes
    offset: int
    problem: str = ""


def read_note(stream: BinaryIO, size: int, byte_order: bytes, offset: int, length: int) -> MakerNote:
    """Return the maker notes at an offset of a TIFF structure.

    Parameters
    ----------
    stream : the TIFF structure, `size` bytes long. offset, length : as its field states them.
    """
    problem = ""
    if offset + length > size:
        problem = "they extend beyond the end of the file"
    elif length > MAX_NOTE_BYTES:
        problem = f"they have {length / 1e6:.1f} MB, more than any camera writes"
    if problem:
        return MakerNote(b"", byte_order, offset, problem)
    stream.seek(offset)
    return MakerNote(stream.read(length), byte_order, offset)


def note_record(note: MakerNote) -> bytes:
    """Return the record `MakN`: byte order, old offset, and the notes as they were."""
    return record(b"MakN", note.byte_order + struct.pack(">I", note.offset) + note.data)


def record(name: bytes, content: bytes) -> bytes:
    """Return one record of Adobe's private data: a name of four bytes, the length, the content, padded to even."""
    return name + struct.pack(">I", len(content)) + content + b"\0" * (len(content) % 2)


def private_data(records: Iterable[bytes]) -> Tag:
    """Return the field DNGPrivateData with these records."""
    content = ADOBE + b"".join(records)
    return Tag(DNG_PRIVATE_DATA, BYTE, len(content), content)


def record_names(field: Tag) -> tuple[bytes, ...] | None:
    """Return the names of the records in a DNGPrivateData field; None if it is not Adobe's, or damaged."""
    if not field.data.startswith(ADOBE):
        return None
    names, at = [], len(ADOBE)
    while at + 8 <= len(field.data):
        name, length = struct.unpack_from(">4sI", field.data, at)
        names.append(bytes(name))
        at += 8 + length + length % 2
    return tuple(names) if at == len(field.data) else None
