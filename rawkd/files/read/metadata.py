"""Read how a photo was taken (capture fields, EXIF and GPS tags) from raw files of any format.

Sources: EXIF 2.32; TIFF/EP (EXIF fields in IFD0, as Kodak and CinemaDNG write them); LibRaw for values that only maker
notes have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rawkd.files.tiff.exif import MAIN_NUMBERS, known_values
from rawkd.files.tiff.ifd import ascii_text
from rawkd.files.tiff.maker_note import MAKER_NOTE
from rawkd.files.tiff.tags import SKIPPED_TAGS, Ifd, TagTree
from rawkd.photo import Capture, Tag

MAKE, MODEL, DATETIME, UNIQUE_CAMERA_MODEL = 271, 272, 306, 50708
EXPOSURE_TIME, F_NUMBER, ISO, DATETIME_ORIGINAL, FOCAL_LENGTH = 33434, 33437, 34855, 36867, 37386
WIDE_ISO_TAGS = (34866, 34867, 34865)  # recommended exposure index, ISO speed, standard output sensitivity
MAX_SHORT = 65535

NOT_COPIED = SKIPPED_TAGS | {MAKER_NOTE, 37121, 37122, 40962, 40963, 40965, 59932, 59933}
"""EXIF fields that are not copied: maker notes, which are kept elsewhere (`maker/keep.py`); components, compression and
size of the camera's JPEG; the offset of the interoperability IFD; padding, and the offset schema of maker notes."""

EXIF_IN_IFD0 = (
    MAIN_NUMBERS
    | {
        33434,
        33437,
        34850,
        34852,
        *range(34864, 34870),
        *range(36867, 36869),
        *range(36880, 36883),
    }
    | {
        *range(37377, 37387),
        37396,
        *range(37520, 37523),
        *range(41985, 41997),
        *range(42032, 42038),
        ISO,
    }
)
"""EXIF tags that TIFF/EP files keep in IFD0, and the descriptive fields that belong there."""

MAKES = {
    "NIKON": "Nikon",
    "SONY": "Sony",
    "FUJIFILM": "Fujifilm",
    "OLYMPUS": "Olympus",
    "OM DIGITAL": "OM Digital Solutions",
    "PENTAX": "Pentax",
    "RICOH": "Ricoh",
    "SAMSUNG": "Samsung",
    "EASTMAN KODAK": "Kodak",
    "KODAK": "Kodak",
    "KONICA MINOLTA": "Konica Minolta",
    "MINOLTA": "Minolta",
    "SEIKO EPSON": "Epson",
    "LEICA": "Leica",
    "CASIO": "Casio",
    "HASSELBLAD": "Hasselblad",
    "PHASE ONE": "Phase One",
}
"""Adobe's spelling of a maker, by the start of the camera's own spelling; others are used unchanged."""


def unique_camera_model(make: str, model: str) -> str:
    """Return the name for UniqueCameraModel (50708) in Adobe's spelling: "Canon EOS 6D", "Sony ILCE-7M3".

    Our choice: the maker once, in Adobe's spelling, then the model without the maker.
    """
    maker = next((name for start, name in MAKES.items() if make.upper().startswith(start)), make)
    if maker == "Ricoh" and model.upper().startswith("PENTAX"):
        maker = "Pentax"
    for prefix in (make, maker):
        if prefix and model.upper().startswith(prefix.upper() + " "):
            model = model[len(prefix) :].strip()
    return f"{maker} {model}".strip()


def read_capture(tree: TagTree | None, libraw: Mapping[str, Any], make_model: tuple[str, str] = ("", "")) -> Capture:
    """Return the capture data of a file, without what only its maker notes hold.

    Parameters
    ----------
    tree : the file's directories. libraw : LibRaw's iso, exposure_s, aperture, focal_length_mm and datetime, if found.
    make_model : make and model to use if no tag has them.
    """
    main = tree.main if tree is not None and tree.chain else Ifd({})
    exif = {number: main.tags[number] for number in EXIF_IN_IFD0 & main.tags.keys()}
    exif |= main.exif.tags if main.exif is not None else {}
    exif = {number: tag for number, tag in exif.items() if number not in NOT_COPIED}
    fields = Ifd(exif)
    make, model = main.text(MAKE) or make_model[0], main.text(MODEL) or make_model[1]
    more = _fields_of_libraw(libraw, dated=bool(main.text(DATETIME)), rated=ISO in exif)
    exif = {tag.number: tag for tag in more} | exif
    return Capture(
        make=make,
        model=model,
        unique_camera_model=main.text(UNIQUE_CAMERA_MODEL) or unique_camera_model(make, model),
        iso=_iso(fields) if ISO in fields.tags else _positive(libraw.get("iso")),
        exposure_s=_field(fields, EXPOSURE_TIME, libraw.get("exposure_s")),
        aperture=_field(fields, F_NUMBER, libraw.get("aperture")),
        focal_length_mm=_field(fields, FOCAL_LENGTH, libraw.get("focal_length_mm")),
        datetime=fields.text(DATETIME_ORIGINAL) or main.text(DATETIME) or libraw.get("datetime") or None,
        exif=tuple(exif[number] for number in sorted(exif)),
        gps=tuple(tag for tag in main.gps.tags.values() if tag.number not in SKIPPED_TAGS)
        if main.gps is not None
        else (),
    )


def _fields_of_libraw(libraw: Mapping[str, Any], *, dated: bool, rated: bool) -> list[Tag]:
    """Return EXIF fields for values that LibRaw found in maker notes and in containers that are not TIFF (CRW, MRW).

    Parameters
    ----------
    dated : whether the main directory has a date; LibRaw's is then not used.
    rated : whether the tags have an ISO; LibRaw's is then not used.
    """
    exposure, aperture, length = (_positive(libraw.get(key)) for key in ("exposure_s", "aperture", "focal_length_mm"))
    found = list(known_values(None if rated else _positive(libraw.get("iso")), exposure, aperture, length))
    if libraw.get("datetime") and not dated:
        found.append(ascii_text(DATETIME_ORIGINAL, libraw["datetime"]))
    return found


def _field(exif: Ifd, number: int, libraw: float | None) -> float | None:
    """Return the value of a tag, or LibRaw's value if the tag is missing."""
    return _positive(exif.number(number) if number in exif.tags else libraw)


def _iso(exif: Ifd) -> float | None:
    """Return the exposure index: tag 34855, or the 32-bit tags if it is missing or at its maximum."""
    iso = _positive(exif.number(ISO))
    if iso is not None and iso < MAX_SHORT:
        return iso
    return next((wide for number in WIDE_ISO_TAGS if (wide := _positive(exif.number(number))) is not None), iso)


def _positive(value: float | None) -> float | None:
    """Return the value if it is finite and above zero, else None: cameras write 0 for an unknown value."""
    return float(value) if value is not None and math.isfinite(value) and value > 0 else None
