"""Add to a photo what its maker notes hold: the notes themselves, as a field that survives in a DNG, and the lens."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rawkd.files.read.containers import read_mrw_blocks
from rawkd.files.read.maker.ciff import CAMERA_SETTINGS, Ciff
from rawkd.files.read.maker.lens import LENS_MODEL, LENS_SPECIFICATION, Lens, lens_fields, lens_of_libraw
from rawkd.files.read.maker.note_fields import lens_of_canon, lens_of_note
from rawkd.files.tiff.ifd import BYTE
from rawkd.files.tiff.maker_note import (
    DNG_PRIVATE_DATA,
    MakerNote,
    note_record,
    private_data,
    record,
    record_names,
)
from rawkd.files.tiff.tags import Ifd, TagTree
from rawkd.photo import Capture, RawPhoto, Tag

NOTES = "maker notes"
OF_LOST_MEANING = ("PHASE ONE", "LEAF", "GE", "GEDSC", "GENERAL IMAGING")
"""Makers whose notes ExifTool cannot decode from Adobe's record."""
OF_PHASE_ONE = (b"IIII", b"MMMM")
"""Beginning of the notes of Phase One and Leaf, whatever the make says."""


def with_maker_notes(
    photo: RawPhoto, path: Path, tree: TagTree | None, ciff: Ciff | None, header: Mapping[str, Any]
) -> RawPhoto:
    """Return the photo with its maker notes as private data, and with the lens in its EXIF fields.

    A source's own private data stay. Notes that cannot be kept are named in `dropped`.

    Parameters
    ----------
    path, tree, ciff : the file, its directories, and the values of a CRW. header : of LibRaw (`DecodedFrame.header`).

    Raises
    ------
    OSError: if the file cannot be read.
    """
    main = tree.main if tree is not None and tree.chain else Ifd({})
    note = _note(main)
    lenses = [lens_of_libraw(header)]
    if note is not None:
        lenses.insert(0, lens_of_note(note, photo.capture.make))
    if ciff is not None:
        lenses.insert(0, lens_of_canon(ciff.shorts(CAMERA_SETTINGS)))
    tags, dropped = _kept(photo, note, path) if tree is not None else _kept_of_ciff(photo, ciff)
    capture = _with_lens(photo.capture, main, lenses)
    return replace(photo, tags=tags, dropped=(*dropped, *photo.dropped), capture=capture)


def _note(main: Ifd) -> MakerNote | None:
    return (main.exif.maker_note if main.exif is not None else None) or main.maker_note


def _kept(photo: RawPhoto, note: MakerNote | None, path: Path) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Return the photo's tags with its notes, and what is lost."""
    if note is None:
        return photo.tags, ()
    if note.problem:
        return photo.tags, (f"{NOTES} ({note.problem})",)
    own = next((tag for tag in photo.tags if tag.number == DNG_PRIVATE_DATA), None)
    if own is not None and note.data in own.data:
        return photo.tags, ()
    names = () if own is None else record_names(own)
    if names is None or b"MakN" in names or _loses_its_meaning(note, photo.capture.make):
        return photo.tags, (NOTES,)
    added = note_record(note) + _minolta_record(path)
    if own is None:
        return (*photo.tags, private_data([added])), ()
    data = own.data + added
    return tuple(tag if tag is not own else Tag(own.number, BYTE, len(data), data) for tag in photo.tags), ()


def _loses_its_meaning(note: MakerNote, make: str) -> bool:
    words = make.upper()
    return note.data.startswith(OF_PHASE_ONE) or any(
        words == name or words.startswith(name + " ") for name in OF_LOST_MEANING
    )


def _kept_of_ciff(photo: RawPhoto, ciff: Ciff | None) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Return the photo's tags with the heap of a CRW; other files without TIFF tags keep nothing of their maker's."""
    if ciff is None or not ciff.records:
        return photo.tags, (NOTES,)
    return (*photo.tags, private_data([ciff_record(ciff)])), ()


def ciff_record(ciff: Ciff) -> bytes:
    """Return the record `CRW `: byte order and number of the values, and for each its tag, its length and its bytes."""
    values = b"".join(struct.pack(">HI", one.tag, len(one.data)) + one.data for one in ciff.records)
    return record(b"CRW ", ciff.byte_order + struct.pack(">H", len(ciff.records)) + values)


def _minolta_record(path: Path) -> bytes:
    """Return the record `MRW ` of a Minolta raw: byte order, number of its blocks, and the blocks without EXIF."""
    blocks = read_mrw_blocks(path)
    if not blocks:
        return b""
    content = b"".join(kind + struct.pack(">I", len(data)) + data for kind, data in blocks)
    return record(b"MRW ", b"MM" + struct.pack(">H", len(blocks)) + content)


def _with_lens(capture: Capture, main: Ifd, lenses: list[Lens]) -> Capture:
    exif = {tag.number: tag for tag in capture.exif}
    fields = lens_fields(exif, main.tags, *lenses)
    own = {number: tag for number, tag in exif.items() if number not in (LENS_SPECIFICATION, LENS_MODEL)}
    both = own | fields
    return replace(capture, exif=tuple(both[number] for number in sorted(both)))
