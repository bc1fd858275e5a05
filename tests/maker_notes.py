"""Small maker notes as each maker lays them out, and DNGs that carry them in EXIF."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from test_dng import CAPTURE, photo_of

from rawkd.files.tiff.exif import merged
from rawkd.files.tiff.ifd import OutputIfd, write_tiff
from rawkd.files.tiff.tags import EXIF_IFD, read_tiff
from rawkd.files.write.dng_fields import main_fields, raw_fields
from rawkd.files.write.raw_storage import stored
from rawkd.photo import Tag

Entry = tuple[int, int, int, bytes]


def text(number: int, value: str) -> Entry:
    data = value.encode() + b"\0"
    return number, 2, len(data), data


def shorts(number: int, *values: int, order: str = "<") -> Entry:
    return number, 3, len(values), struct.pack(f"{order}{len(values)}H", *values)


def rationals(number: int, *parts: int, order: str = "<") -> Entry:
    return number, 5, len(parts) // 2, struct.pack(f"{order}{len(parts)}I", *parts)


def directory(entries: Sequence[Entry], base: int, order: str = "<") -> bytes:
    """A directory whose values follow it; `base` is the number of bytes between what offsets count from and it."""
    at = base + 2 + 12 * len(entries) + 4
    table, values = struct.pack(order + "H", len(entries)), b""
    for number, kind, count, data in sorted(entries):
        table += struct.pack(order + "HHI", number, kind, count)
        if len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", at + len(values))
            values += data + b"\0" * (len(data) % 2)
    return table + bytes(4) + values


@dataclass(frozen=True)
class Maker:
    """How a maker writes notes.

    Attributes
    ----------
    make, model : of the camera. note : makes the notes that lie at an offset of the TIFF structure.
    shown : some of the tags that exiftool must decode, by name. is_relative : whether offsets count from the notes
        themselves, so that they would survive a move.
    """

    make: str
    model: str
    note: Callable[[int], bytes]
    shown: dict[str, str]
    is_relative: bool = False


SETTINGS = shorts(1, *([92] + [0] * 22 + [70, 18, 1] + [0] * 20))
CANON = Maker(
    "Canon",
    "Canon EOS 6D",
    lambda at: directory(
        [SETTINGS, text(6, "Canon EOS 6D"), text(7, "Firmware 1.1.6"), text(0x95, "EF18-70mm f/3.5")], at
    ),
    {"CanonFirmwareVersion": "Firmware 1.1.6", "LensModel": "EF18-70mm f/3.5", "MaxFocalLength": "70 mm"},
)


def _nikon(_at: int) -> bytes:
    entries = [text(4, "RAW    "), rationals(0x84, 18, 1, 70, 1, 35, 10, 45, 10, order=">"), text(0x1D, "3002120")]
    return b"Nikon\0\2\x10\0\0MM\0\x2a\0\0\0\x08" + directory(entries, 8, ">")


NIKON = Maker(
    "NIKON CORPORATION",
    "NIKON D70",
    _nikon,
    {"Quality": "RAW", "Lens": "18-70mm f/3.5-4.5", "SerialNumber": "3002120"},
    is_relative=True,
)


def _olympus(_at: int) -> bytes:
    head, entries = b"OLYMPUS\0II\3\0", [text(0x209, "OLYMPUS DIGITAL CAMERA"), (0x2010, 13, 1, bytes(4))]
    size = len(directory(entries, 0))
    entries[1] = (0x2010, 13, 1, struct.pack("<I", 12 + size))
    inner = [text(0x203, "OLYMPUS M.17mm F1.2"), shorts(0x205, 269), shorts(0x206, 269)]
    inner += [shorts(0x207, 17), shorts(0x208, 17)]
    return head + directory(entries, 12) + directory(inner, 12 + size)


OLYMPUS = Maker(
    "OLYMPUS CORPORATION",
    "E-M1MarkII",
    _olympus,
    {"CameraID": "OLYMPUS DIGITAL CAMERA", "LensModel": "OLYMPUS M.17mm F1.2", "MinFocalLength": "17"},
    is_relative=True,
)
PANASONIC = Maker(
    "Panasonic",
    "DMC-GF1",
    lambda at: b"Panasonic\0\0\0" + directory([shorts(1, 7), text(0x51, "LUMIX G VARIO 14-45/F3.5-5.6")], at + 12),
    {"ImageQuality": "RAW", "LensType": "LUMIX G VARIO 14-45/F3.5-5.6"},
)
SONY = Maker(
    "SONY",
    "DSLR-A350",
    lambda at: (
        b"SONY DSC \0\0\0"
        + directory([text(0xB020, "Standard"), (0xB02A, 1, 8, bytes.fromhex("0000180070355600"))], at + 12)
    ),
    {"CreativeStyle": "Standard", "LensSpec": "18-70mm F3.5-5.6"},
)
PENTAX = Maker(
    "PENTAX Corporation",
    "PENTAX K10D",
    lambda at: (
        b"AOC\0MM" + directory([shorts(2, 640, 480, order=">"), text(0x229, "5523456")], at + 6, ">").ljust(64, b"\0")
    ),
    {"PreviewImageSize": "640x480", "SerialNumber": "5523456"},
)
MINOLTA = Maker(
    "Minolta Co., Ltd.",
    "DiMAGE 7i",
    lambda at: directory([(0, 7, 4, b"MLT0"), (3, 7, 60, struct.pack(">15I", *range(15)))], at),
    {"MakerNoteVersion": "MLT0", "FlashMode": "Rear flash sync"},
)
FUJIFILM = Maker(
    "FUJIFILM",
    "X-T3",
    lambda _at: (
        b"FUJIFILM\x0c\0\0\0"
        + directory(
            [
                text(0x1000, "NORMAL "),
                *(rationals(0x1404 + i, value, 10) for i, value in enumerate((180, 550, 28, 40))),
            ],
            12,
        )
    ),
    {"Quality": "NORMAL", "MinFocalLength": "18", "MaxApertureAtMaxFocal": "4"},
    is_relative=True,
)
MAKERS = (CANON, NIKON, OLYMPUS, PANASONIC, SONY, PENTAX, MINOLTA, FUJIFILM)


def write_source(path: Path, maker: Maker, *more_exif: Tag, tags: Sequence[Tag] = ()) -> int:
    """Write a DNG with the maker's notes in EXIF, as a camera does, and return their offset."""
    at = 0
    for _ in range(2):  # the offset is known when the file is written; the notes have the same length everywhere
        note = maker.note(at)
        write_with_note(path, maker, Tag(37500, 7, len(note), note), *more_exif, tags=tags)
        with path.open("rb") as stream:
            tree = read_tiff(stream)
        assert tree is not None
        assert tree.main.exif is not None
        assert tree.main.exif.maker_note is not None
        at = tree.main.exif.maker_note.offset
    return at


def write_with_note(path: Path, maker: Maker, note: Tag, *more_exif: Tag, tags: Sequence[Tag] = ()) -> None:
    """Write a DNG with this field as its maker notes."""
    photo = photo_of((120, 160), capture=replace(CAPTURE, make=maker.make, model=maker.model), tags=tuple(tags))
    with ThreadPoolExecutor(1) as pool:
        storage, block_tags, blocks = stored(photo.frame, pool, is_mosaic=True)
    main = main_fields(photo, software="camera", packet=b"", noise_reduction=0, strip_location=False)
    exif = OutputIfd(merged([note], more_exif, CAPTURE.exif))
    root = OutputIfd(merged(storage, raw_fields(photo, ()), main), {EXIF_IFD: (exif,)}, blocks, block_tags)
    with path.open("wb") as stream:
        write_tiff(stream, root)
