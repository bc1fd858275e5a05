"""Read the lens from maker notes, where the maker states it as text or numbers.

Many makers state only a code, which stands for several lenses, or encrypt it: such a lens stays unknown. Sources:
ExifTool's descriptions of the makers' tags.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

from rawkd.errors import RawkdError
from rawkd.files.read.maker.lens import Lens
from rawkd.files.tiff.maker_note import MakerNote
from rawkd.files.tiff.tags import SIZE_OF_TYPE, read_tiff_bytes, swapped, tag_numbers
from rawkd.photo import Tag

Fields = Mapping[int, Tag]

MAX_FIELDS = 512
CANON_LENS_NAME, CANON_SETTINGS = 0x95, 0x01
CANON_LONGEST, CANON_SHORTEST, CANON_UNITS = 23, 24, 25
NIKON_LENS = 0x84
PANASONIC_LENS = 0x51
FUJI_SHORTEST, FUJI_LONGEST, FUJI_WIDE, FUJI_TELE = range(0x1404, 0x1408)
OLYMPUS_EQUIPMENT, OLYMPUS_NAME, OLYMPUS_WIDE, OLYMPUS_TELE = 0x2010, 0x203, 0x205, 0x206
OLYMPUS_SHORTEST, OLYMPUS_LONGEST = 0x207, 0x208
SONY_LENS = 0xB02A


def lens_of_note(note: MakerNote, make: str) -> Lens:
    """Return the lens that the maker notes state; an empty one if they do not, or are damaged."""
    try:
        return _lens(note, make.upper())
    except (RawkdError, struct.error, ArithmeticError, ValueError):
        return Lens()


def lens_of_canon(settings: Sequence[float]) -> Lens:
    """Return the lens of Canon's camera settings, which maker notes and a CRW have; they state no apertures."""
    if len(settings) <= CANON_UNITS or not settings[CANON_UNITS]:
        return Lens()
    longest, shortest = (settings[index] / settings[CANON_UNITS] for index in (CANON_LONGEST, CANON_SHORTEST))
    return Lens(focal_mm=(shortest, longest))


def _lens(note: MakerNote, make: str) -> Lens:
    for beginnings, lens_of in OF_BEGINNING.items():
        if note.data.startswith(beginnings):
            return lens_of(note)
    if make.startswith("CANON"):
        return _canon(note)
    return _sony(note) if make.startswith("SONY") else Lens()


def _nikon(note: MakerNote) -> Lens:
    """Return the lens of notes that are a TIFF structure of their own."""
    tree = read_tiff_bytes(note.data[10:])
    return Lens() if tree is None else _from_numbers(tree.main.numbers(NIKON_LENS))


def _fujifilm(note: MakerNote) -> Lens:
    (start,) = struct.unpack_from("<I", note.data, 8)
    fields = _fields(note.data, b"II", start)
    ends = (FUJI_SHORTEST, FUJI_LONGEST, FUJI_WIDE, FUJI_TELE)
    return _from_numbers([value for number in ends for value in _numbers(fields, number)[:1]])


def _panasonic(note: MakerNote) -> Lens:
    return Lens(_text(_fields(note.data, note.byte_order, 12, note.offset), PANASONIC_LENS))


def _canon(note: MakerNote) -> Lens:
    fields = _fields(note.data, note.byte_order, 0, note.offset)
    return Lens(_text(fields, CANON_LENS_NAME), lens_of_canon(_numbers(fields, CANON_SETTINGS)).focal_mm)


def _from_numbers(values: Sequence[float]) -> Lens:
    """Return the lens of four numbers: shortest and longest focal length, smallest f-number at each."""
    if len(values) != 4:
        return Lens()
    return Lens(focal_mm=(values[0], values[1]), apertures=(values[2], values[3]))


def _olympus(note: MakerNote) -> Lens:
    """Return the lens of the directory "Equipment"; apertures are in units of 1/256 stop."""
    data, order, start, base = note.data, note.byte_order, 8, note.offset
    if not data.startswith(b"OLYMP\0"):  # in the newer form offsets count from the start of the notes
        order, start, base = (data[12:14], 16, 0) if data.startswith(b"OM SYSTEM") else (data[8:10], 12, 0)
    main = _fields(data, order, start, base)
    equipment = main.get(OLYMPUS_EQUIPMENT)
    if equipment is None:
        return Lens()
    is_pointer = equipment.type in (4, 13)
    at = struct.unpack("<I", equipment.data[:4])[0] - base if is_pointer else data.find(equipment.data)
    fields = _fields(data, order, at, base)
    numbers = [_numbers(fields, number)[:1] for number in (OLYMPUS_SHORTEST, OLYMPUS_LONGEST)]
    stops = [_numbers(fields, number)[:1] for number in (OLYMPUS_WIDE, OLYMPUS_TELE)]
    name = _text(fields, OLYMPUS_NAME)
    if not all(numbers):
        return Lens(name)
    wide, tele = (2 ** (stop[0] / 512) if stop and stop[0] > 0 else 0.0 for stop in stops)
    return Lens(name, (numbers[0][0], numbers[1][0]), (wide, tele))


def _sony(note: MakerNote) -> Lens:
    """Return the lens of Sony's LensSpec: flags, focal lengths and f-numbers x 10 as decimal digits, flags."""
    start = 12 if note.data.startswith(b"SONY ") else 0
    tag = _fields(note.data, note.byte_order, start, note.offset).get(SONY_LENS)
    if tag is None or len(tag.data) != 8 or not tag.data[1:7].hex().isdecimal():
        return Lens()
    digits = tag.data.hex()
    shortest, longest, wide, tele = int(digits[2:6]), int(digits[6:10]), int(digits[10:12]), int(digits[12:14])
    return Lens(focal_mm=(shortest, longest or shortest), apertures=(wide / 10, tele / 10 or wide / 10))


OF_BEGINNING: dict[tuple[bytes, ...], Callable[[MakerNote], Lens]] = {
    (b"Nikon\0\2",): _nikon,
    (b"FUJIFILM",): _fujifilm,
    (b"OLYMPUS\0", b"OM SYSTEM\0", b"OLYMP\0"): _olympus,
    (b"Panasonic\0",): _panasonic,
}
"""Notes that are recognised by their first bytes, whatever the camera calls itself."""


def _fields(data: bytes, byte_order: bytes, start: int, base: int = 0) -> Fields:
    """Return the fields of a directory inside maker notes, without those whose values lie elsewhere.

    Parameters
    ----------
    start : of the directory in `data`. base : what offsets in the directory count from is so far before `data`.

    Raises
    ------
    struct.error: if there is no directory.
    """
    order = {b"II": "<", b"MM": ">"}[byte_order] if byte_order in (b"II", b"MM") else "<"
    if start < 0:
        return {}
    (count,) = struct.unpack_from(order + "H", data, start)
    found: dict[int, Tag] = {}
    for at in range(start + 2, min(start + 2 + 12 * min(count, MAX_FIELDS), len(data) - 11), 12):
        number, kind, values, offset = struct.unpack_from(order + "HHII", data, at)
        length = SIZE_OF_TYPE.get(kind, 0) * values
        place = at + 8 if length <= 4 else offset - base
        if length and 0 <= place <= len(data) - length:
            value = data[place : place + length]
            found.setdefault(number, Tag(number, kind, values, value if order == "<" else swapped(value, kind)))
    return found


def _numbers(fields: Fields, number: int) -> tuple[float, ...]:
    return tag_numbers(fields[number]) if number in fields else ()


def _text(fields: Fields, number: int) -> str:
    tag = fields.get(number)
    return tag.data.split(b"\0", 1)[0].decode("ascii", "replace") if tag is not None and tag.type in (1, 2, 7) else ""
