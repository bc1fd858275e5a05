"""Take time and place of the capture from a sidecar, where the user corrected or added them, into EXIF and GPS fields.

Sources: XMP specification part 2 (namespace exif); EXIF 2.32, tables 5 and 15 (offset and GPS fields). darktable writes
dates as EXIF does, others as ISO 8601. A date that states nothing changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from rawkd.files.tiff.ifd import ascii_text, rational, raw_bytes
from rawkd.files.tiff.tags import tag_numbers
from rawkd.files.xmp.date import Date, date_of, is_unset
from rawkd.files.xmp.packet import PADDING, RDF, parsed
from rawkd.photo import Capture, Tag

EXIF = "http://ns.adobe.com/exif/1.0/"
BELOW_60 = r"([0-5]?\d(?:\.\d{1,60})?)"
COORDINATE = re.compile(rf"(\d{{1,3}}),{BELOW_60}(?:,{BELOW_60})?([NSEW])", re.ASCII)
FRACTION = re.compile(r"(\d{1,10})(?:/(\d{1,10}))?", re.ASCII)
PART_MAX = 2**32 - 1
"""Largest numerator and denominator of a fraction in EXIF."""
ORIGINAL, DIGITIZED = 36867, 36868
FRACTION_OF = {ORIGINAL: 37521, DIGITIZED: 37522}
OFFSET_OF = {ORIGINAL: 36881, DIGITIZED: 36882}
"""Number of each date -> that of its fraction of a second, and of its offset from UTC."""
LATITUDE, LONGITUDE, ALTITUDE = 2, 4, 6
OF_ANY_PLACE = frozenset({0, 7, 16, 17, 18, 29})
"""GPS fields that hold wherever the camera stood: version, time, direction, datum, date."""
SAME_PLACE_DEG = 1e-5
"""Coordinates within a metre are the same, written with fewer digits (our choice)."""


def with_sidecar(capture: Capture, sidecar: bytes | None) -> tuple[Capture, tuple[str, ...]]:
    """Return the capture data with time and place of a sidecar, and a warning for each that cannot be written as EXIF.

    A sidecar that states what EXIF states changes nothing. One that is no XML states nothing.
    """
    if sidecar is None or not sidecar.strip(PADDING):
        return capture, ()
    try:
        values = _values(sidecar)
    except ValueError:
        return capture, ()  # the writer tells
    warnings: tuple[str, ...] = ()
    text = values.get("DateTimeOriginal", "")
    if (date := date_of(text)) is not None:
        capture = _taken_at(capture, date)
    elif not is_unset(text):
        warnings += (f"the time of the capture in the sidecar ({text}) cannot be written as EXIF",)
    place = tuple(values.get(name, "") for name in ("GPSLatitude", "GPSLongitude"))
    latitude, longitude = _degrees(place[0], "NS"), _degrees(place[1], "EW")
    if latitude is not None and longitude is not None:
        capture, more = _taken_in(capture, (latitude, longitude), values)
        warnings += more
    elif any(place):
        warnings += (f"the place of the capture in the sidecar ({' '.join(place).strip()}) cannot be written as EXIF",)
    return capture, warnings


def _values(packet: bytes) -> dict[str, str]:
    """Return the plain properties of the namespace exif, without their prefix. Raises ValueError for what is no XML."""
    start = f"{{{EXIF}}}"
    found: dict[str, str] = {}
    for rdf in parsed(packet).iter(f"{{{RDF}}}RDF"):
        for top in rdf.findall(f"{{{RDF}}}Description"):
            named = {**top.attrib, **{one.tag: one.text or "" for one in top}}
            found |= {name.removeprefix(start): text.strip() for name, text in named.items() if name.startswith(start)}
    return found


def _taken_at(capture: Capture, date: Date) -> Capture:
    """Return the capture data with another time.

    An equal one, as exactly as the sidecar states it, keeps the fields; the same clock time at another offset from UTC
    changes only the offset.
    """
    before = {tag.number: _text(tag) for tag in capture.exif if tag.number in (*FRACTION_OF, *OFFSET_OF.values())}
    own = before.get(ORIGINAL, "")
    old = date_of(own + before.get(OFFSET_OF[ORIGINAL], "")) or date_of(own)
    has_same_clock = old is not None and date.has_clock_of(old)
    if old is not None and (has_same_clock if None in (date.zone, old.zone) else date.is_instant_of(old)):
        return capture
    # a camera writes one time to both
    numbers = (ORIGINAL, DIGITIZED) if own and before.get(DIGITIZED) == own else (ORIGINAL,)
    fields: dict[int, str | None] = {OFFSET_OF[number]: date.zone for number in numbers}
    if not has_same_clock:
        for number in numbers:
            fields |= {number: date.exif, FRACTION_OF[number]: date.part}
    kept = [tag for tag in capture.exif if tag.number not in fields]
    new = [ascii_text(number, value) for number, value in fields.items() if value]
    taken = capture.datetime if has_same_clock else date.exif
    return replace(capture, exif=_sorted([*kept, *new]), datetime=taken)


def _taken_in(
    capture: Capture, place: tuple[Fraction, Fraction], values: Mapping[str, str]
) -> tuple[Capture, tuple[str, ...]]:
    """Return the capture data with another place, and a warning if it has an impossible altitude.

    What the old fields say about the old place goes.
    """
    before = {tag.number: tag for tag in capture.gps}
    known = [_signed(before.get(number - 1), before.get(number)) for number in (LATITUDE, LONGITUDE)]
    if all(old is not None and abs(old - new) < SAME_PLACE_DEG for old, new in zip(known, place, strict=True)):
        return capture, ()
    fields = [
        ascii_text(LATITUDE - 1, "S" if place[0] < 0 else "N"),
        rational(LATITUDE, _sexagesimal(place[0])),
        ascii_text(LONGITUDE - 1, "W" if place[1] < 0 else "E"),
        rational(LONGITUDE, _sexagesimal(place[1])),
    ]
    warnings: tuple[str, ...] = ()
    height = values.get("GPSAltitude", "")
    if (metres := _metres(height)) is not None:
        below = values.get("GPSAltitudeRef", "0") == "1"
        fields += [raw_bytes(ALTITUDE - 1, bytes([below])), rational(ALTITUDE, [metres])]
    elif height:
        warnings = (f"the altitude of the capture in the sidecar ({height}) cannot be written as EXIF",)
    kept = [tag for tag in capture.gps if tag.number in OF_ANY_PLACE]
    return replace(capture, gps=_sorted([*kept, *fields])), warnings


def _metres(text: str) -> float | None:
    """Return an altitude of XMP ("5203/10" or "520") in metres; None for one that is no 32-bit fraction."""
    found = FRACTION.fullmatch(text)
    if found is None:
        return None
    numerator, denominator = int(found[1]), int(found[2] or 1)
    return numerator / denominator if denominator and max(numerator, denominator) <= PART_MAX else None


def _degrees(text: str, sides: str) -> Fraction | None:
    """Return a coordinate of XMP ("48,8.5N" or "48,8,30N") in degrees, south and west negative; None for another.

    Parameters
    ----------
    sides : the letters of both directions, "NS" or "EW".
    """
    found = COORDINATE.fullmatch(text)
    if found is None or found[4] not in sides:
        return None
    whole, minutes, seconds, side = found.groups()
    value = Fraction(whole) + Fraction(minutes) / 60 + Fraction(seconds or 0) / 3600
    if value > (90 if side in "NS" else 180):
        return None
    return -value if side in "SW" else value


def _sexagesimal(degrees: Fraction) -> tuple[float, float, float]:
    """Return degrees, minutes and seconds, the seconds to a ten-thousandth (3 mm)."""
    ticks = round(abs(degrees) * 36_000_000)
    minutes, rest = divmod(ticks, 600_000)
    return float(minutes // 60), float(minutes % 60), rest / 10_000


def _signed(side: Tag | None, value: Tag | None) -> float | None:
    """Return a coordinate of GPS fields in degrees; None if it is missing or incomplete."""
    numbers = () if value is None else tag_numbers(value)
    if side is None or len(numbers) != 3:
        return None
    degrees = numbers[0] + numbers[1] / 60 + numbers[2] / 3600
    return -degrees if _text(side) in ("S", "W") else degrees


def _text(tag: Tag) -> str:
    return tag.data.split(b"\0", 1)[0].decode("ascii", "replace").strip()


def _sorted(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    return tuple(sorted(tags, key=lambda tag: tag.number))
