"""Name the lens in EXIF: LensModel and LensSpecification, from whatever in the source knows them.

Raw editors find their lens corrections by these two fields only. A field is filled from EXIF, else from what Adobe's
programs write (EXIF 65002, DNG LensInfo, aux:Lens in the XMP), else from maker notes, else from LibRaw. What none of
them knows is not written.

Sources: EXIF 2.32 (42034, 42036); DNG specification 1.4 (50736).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rawkd.files.tiff.ifd import RATIONAL, ascii_text
from rawkd.files.xmp.packet import RDF, XMP, parsed
from rawkd.photo import Tag

LENS_SPECIFICATION, LENS_MODEL = 42034, 42036
ADOBE_LENS, LENS_INFO = 65002, 50736
XMP_NAMES = ("{http://cipa.jp/exif/1.0/}LensModel", "{http://ns.adobe.com/exif/1.0/aux/}Lens")
UNKNOWN = re.compile(r"[-\s.?]*|n/?a|none|no[- ]?lens.*|unknown.*", re.IGNORECASE)
"""Texts that cameras and programs write for an unknown lens."""
MAX_FOCAL_MM, MAX_F_NUMBER, MAX_NAME = 10_000.0, 100.0, 200


@dataclass(frozen=True)
class Lens:
    """A lens; what is unknown is empty or None.

    Attributes
    ----------
    name : as the maker writes it. focal_mm : shortest and longest focal length.
    apertures : smallest f-number at each of them; 0 for unknown.
    """

    name: str = ""
    focal_mm: tuple[float, float] | None = None
    apertures: tuple[float, float] = (0.0, 0.0)


def known_name(text: str) -> str:
    """Return the name of a lens without padding; empty if it stands for an unknown lens or is not text."""
    name = " ".join(text.split("\0", 1)[0].split())
    if UNKNOWN.fullmatch(name) or not name.isprintable() or "\ufffd" in name or len(name) > MAX_NAME:
        return ""
    return name


def lens_name(exif: Iterable[Tag]) -> str:
    """Return the name of the lens in EXIF fields; empty if it is unknown."""
    return known_name(_text(next((tag for tag in exif if tag.number == LENS_MODEL), None)))


def lens_fields(exif: Mapping[int, Tag], main: Mapping[int, Tag], *others: Lens) -> dict[int, Tag]:
    """Return LensModel and LensSpecification by number, those that anything knows.

    Parameters
    ----------
    exif, main : fields of the source's EXIF directory and of IFD0. others : the lens as others know it, best first.
    """
    found: dict[int, Tag] = {}
    stated = exif.get(LENS_MODEL)
    if stated is not None and known_name(_text(stated)):
        found[LENS_MODEL] = stated
    else:
        names = (_text(exif.get(ADOBE_LENS)), _name_in_xmp(main.get(XMP)), *(lens.name for lens in others))
        name = next(filter(None, map(known_name, names)), "")
        if name:
            found[LENS_MODEL] = ascii_text(LENS_MODEL, name)
    for tag in (exif.get(LENS_SPECIFICATION), main.get(LENS_INFO)):
        if tag is not None and _states_focal_lengths(tag):
            found[LENS_SPECIFICATION] = Tag(LENS_SPECIFICATION, tag.type, tag.count, tag.data)
            return found
    for lens in others:
        if (specification := _specification(lens)) is not None:
            found[LENS_SPECIFICATION] = specification
            break
    return found


def lens_of_libraw(header: Mapping[str, Any]) -> Lens:
    """Return the lens that LibRaw found; it does not tell apertures."""
    found = header.get("lens") or {}
    return Lens(str(found.get("model", "")), _focal(found.get("min_focal_mm", 0.0), found.get("max_focal_mm", 0.0)))


def _focal(shortest: float, longest: float) -> tuple[float, float] | None:
    return (shortest, longest) if shortest and longest else None


def _specification(lens: Lens) -> Tag | None:
    """Return LensSpecification: focal lengths and smallest f-numbers, 0/0 for an unknown one; None if implausible."""
    if lens.focal_mm is None or not _plausible(*lens.focal_mm):
        return None
    values = [Fraction(value).limit_denominator(1000) for value in lens.focal_mm]
    parts = [number for value in values for number in (value.numerator, value.denominator)]
    for value in lens.apertures:
        known = math.isfinite(value) and 0 < value < MAX_F_NUMBER
        near = Fraction(value).limit_denominator(100) if known else None
        parts += [0, 0] if near is None else [near.numerator, near.denominator]
    return Tag(LENS_SPECIFICATION, RATIONAL, 4, struct.pack("<8I", *parts))


def _states_focal_lengths(tag: Tag) -> bool:
    if tag.type != RATIONAL or tag.count != 4:
        return False
    shortest, below, longest, under = struct.unpack("<4I", tag.data[:16])
    return bool(below and under) and _plausible(shortest / below, longest / under)


def _plausible(shortest: float, longest: float) -> bool:
    return 0 < shortest <= longest <= MAX_FOCAL_MM


def _text(tag: Tag | None) -> str:
    return tag.data.decode("utf-8", "replace") if tag is not None and tag.type in (1, 2, 7) else ""


def _name_in_xmp(packet: Tag | None) -> str:
    """Return the lens of an XMP packet, written as an attribute or an element; empty if there is none."""
    if packet is None or b"Lens" not in packet.data.replace(b"\0", b""):
        return ""
    try:
        descriptions = list(parsed(packet.data).iter(f"{{{RDF}}}Description"))
    except ValueError:
        return ""
    for name in XMP_NAMES:
        for one in descriptions:
            if text := one.get(name) or one.findtext(name):
                return text
    return ""
