"""Build the EXIF and GPS directories of an output from the capture data of the source.

Source: CIPA DC-008 (EXIF 2.32), tables 4 to 15.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from numbers import Real
from typing import TypeGuard

from rawkd.errors import InputError
from rawkd.files.tiff.ifd import (
    UNDEFINED,
    OutputIfd,
    ascii_text,
    long,
    rational,
    raw_bytes,
    short,
    write_tiff,
)
from rawkd.files.tiff.maker_note import MAKER_NOTE
from rawkd.files.tiff.tags import EXIF_IFD, GPS_IFD, tag_numbers
from rawkd.photo import Capture, Tag

INTEROPERABILITY = 40965
EXPOSURE_TIME, F_NUMBER, ISO, FOCAL_LENGTH = 33434, 33437, 34855, 37386
SENSITIVITY_TYPE, RECOMMENDED_EXPOSURE_INDEX, MAX_SHORT = 34864, 34866, 65535
NEVER_ZERO = {EXPOSURE_TIME: 37377, F_NUMBER: 37378, FOCAL_LENGTH: FOCAL_LENGTH}
"""Fraction fields in which cameras write 0 or 0/0 for an unknown value, and the field that repeats each on a
logarithmic scale. Such pairs are left out, since they hold no information. Lenses without contacts cause most of them,
so only the exposure time gives a warning (`exposure_warnings`)."""
DATETIME, HOST_COMPUTER = 306, 316
MAIN_NUMBERS = frozenset({269, 270, 282, 283, 285, 296, DATETIME, 315, HOST_COMPUTER, 33432})
"""DocumentName, ImageDescription, XResolution, YResolution, PageName, ResolutionUnit, DateTime (of the last change),
Artist, HostComputer, Copyright: written to the main directory, wherever the reader found them."""
FREE_TEXTS = frozenset({269, 270, 285})
"""Those that may say where a photo was taken."""
STALE_IN_RENDERED = frozenset({37121, 37122, 40960, 40961, 40962, 40963, 41730})
"""Fields that describe the raw picture, not the rendered one (components, size, colour space, CFA)."""
SRGB, UNCALIBRATED = 1, 65535
"""Values of ColorSpace; sRGB is one of three colours, so grey is uncalibrated, and its profile says the curve."""
EXIF_VERSION, GPS_VERSION = b"0232", bytes((2, 3, 0, 0))
"""Versions written if the source states none."""
LONG_FIELD_BYTES = 2048
ISO_END, LEAST_FRACTION, LARGEST_FRACTION = 2**32, 1e-6, 1e6
"""An ISO below the first, and fractions between the others, are written."""


def capture_fields(capture: Capture, software: str, *, strip_location: bool = False) -> tuple[Tag, ...]:
    """Return the fields of the main directory about the capture: make, model, software, dates, and descriptive ones.

    DateTime is that of the source, the time of its last change; only if there is none, that of the capture.
    """
    texts = ((271, capture.make), (272, capture.model), (305, software))
    named = tuple(ascii_text(number, text) for number, text in texts if text)
    left_out = FREE_TEXTS if strip_location else frozenset()
    kept = [tag for tag in capture.exif if tag.number in MAIN_NUMBERS - left_out and not _is_no_date(tag)]
    taken = (ascii_text(DATETIME, capture.datetime),) if capture.datetime else ()
    return merged(named, kept, taken)


def _is_no_date(tag: Tag) -> bool:
    """Return whether a field is a DateTime that states nothing, as clocks that were never set write it."""
    return tag.number == DATETIME and not tag.data.strip(b"\0 :0")


def capture_directories(capture: Capture, *, strip_location: bool) -> dict[int, tuple[OutputIfd, ...]]:
    """Return the EXIF and GPS directories by pointer tag.

    ISO, exposure, aperture and focal length are taken from the capture where its EXIF fields lack them.

    Parameters
    ----------
    strip_location : leave out GPS.
    """
    dropped = {INTEROPERABILITY, MAKER_NOTE, *MAIN_NUMBERS}  # maker notes break at another place
    dropped |= {number for tag in capture.exif if _is_unset(tag) for number in (tag.number, NEVER_ZERO[tag.number])}
    own = [tag for tag in capture.exif if tag.number not in dropped]
    iso = None if any(tag.number == ISO for tag in own) else capture.iso
    known = known_values(iso, capture.exposure_s, capture.aperture, capture.focal_length_mm)
    version = raw_bytes(36864, EXIF_VERSION, UNDEFINED)
    directories: dict[int, tuple[OutputIfd, ...]] = {EXIF_IFD: (OutputIfd(merged(own, known, [version])),)}
    if capture.gps and not strip_location:
        directories[GPS_IFD] = (OutputIfd(merged(capture.gps, [raw_bytes(0, GPS_VERSION)])),)
    return directories


def known_values(
    iso: float | None, exposure_s: float | None, aperture: float | None, focal_length_mm: float | None
) -> tuple[Tag, ...]:
    """Return EXIF fields for the given values. An ISO above 65535 is also written to RecommendedExposureIndex."""
    fractions = ((EXPOSURE_TIME, exposure_s), (F_NUMBER, aperture), (FOCAL_LENGTH, focal_length_mm))
    found = [rational(number, [value]) for number, value in fractions if _fits(value)]
    if iso is not None and 1 <= iso < ISO_END:
        found.append(short(ISO, [min(round(iso), MAX_SHORT)]))
        if iso > MAX_SHORT:
            found += [short(SENSITIVITY_TYPE, [2]), long(RECOMMENDED_EXPOSURE_INDEX, [round(iso)])]
    return tuple(found)


def refuse_other_values(iso: object, exposure_s: object) -> None:
    """Raise InputError for an ISO or an exposure time that EXIF cannot hold exactly; None is allowed."""
    whole = isinstance(iso, Real) and 1 <= float(iso) < ISO_END and float(iso).is_integer()
    if iso is not None and not whole:
        raise InputError(
            f"iso {iso!r}: give a whole number from 1 to {ISO_END - 1}, as EXIF does, or None if it is unknown. A gain"
            " without an ISO needs a number of its own for each setting, such as 100 times the gain."
        )
    if exposure_s is not None and not _fits(exposure_s):
        raise InputError(
            f"exposure_s {exposure_s!r}: give seconds between {LEAST_FRACTION:.6f} and {LARGEST_FRACTION:.0f}, or None"
            " if it is unknown."
        )


def _fits(value: object) -> TypeGuard[float]:
    """Return whether a value can be written as a fraction."""
    return isinstance(value, Real) and LEAST_FRACTION < float(value) < LARGEST_FRACTION


def _is_unset(tag: Tag) -> bool:
    """Return whether a field of `NEVER_ZERO` lacks a positive value."""
    if tag.number not in NEVER_ZERO:
        return False
    values = tag_numbers(tag)
    return not values or not all(math.isfinite(value) and value > 0 for value in values)


def exposure_warnings(capture: Capture) -> tuple[str, ...]:
    """Return a warning if the source states an exposure time of 0 or less, which the output does not."""
    stated = any(tag.number == EXPOSURE_TIME and _is_unset(tag) for tag in capture.exif)
    if not stated or capture.exposure_s is not None:
        return ()
    return ("the file states an exposure time that is not above 0 s, so the output states none",)


def rendered_root(
    capture: Capture, software: str, *, strip_location: bool, is_grey: bool = False, captions: Iterable[Tag] = ()
) -> tuple[tuple[Tag, ...], dict[int, tuple[OutputIfd, ...]]]:
    """Return the main fields and directories of an upright picture, sRGB or grey.

    Parameters
    ----------
    captions : added to the main fields.
    """
    directories = capture_directories(capture, strip_location=strip_location)
    taken = (tag for tag in directories[EXIF_IFD][0].tags if tag.number not in STALE_IN_RENDERED)
    own = (raw_bytes(40960, b"0100", UNDEFINED), short(40961, [UNCALIBRATED if is_grey else SRGB]))
    directories[EXIF_IFD] = (OutputIfd(merged(own, taken)),)
    main = (short(274, [1]), rational(282, [300.0]), rational(283, [300.0]), short(296, [2]))
    return merged(main, capture_fields(capture, software, strip_location=strip_location), captions), directories


def exif_block(
    capture: Capture,
    size_px: tuple[int, int],
    software: str,
    *,
    strip_location: bool,
    limit_bytes: int,
    is_grey: bool = False,
    captions: Iterable[Tag] = (),
) -> bytes:
    """Return the EXIF block of a JPEG (APP1) or PNG (eXIf) as a TIFF structure.

    Parameters
    ----------
    size_px : (height, width) of the picture.
    is_grey : whether it has one component; then the fields about YCbCr are left out.
    limit_bytes : size from which fields over 2 KiB are left out.
    """
    main, directories = rendered_root(
        capture, software, strip_location=strip_location, is_grey=is_grey, captions=captions
    )
    size = (long(40962, [size_px[1]]), long(40963, [size_px[0]]))
    components = () if is_grey else (raw_bytes(37121, bytes((1, 2, 3, 0)), UNDEFINED),)
    directories[EXIF_IFD] = (OutputIfd(merged(directories[EXIF_IFD][0].tags, components, size)),)
    root = OutputIfd(merged(main, () if is_grey else [short(531, [1])]), directories)
    block = _encoded(root)
    if len(block) <= limit_bytes:
        return block
    slim = {
        number: tuple(OutputIfd(_without_long_fields(ifd.tags)) for ifd in group)
        for number, group in directories.items()
    }
    return _encoded(OutputIfd(_without_long_fields(root.tags), slim))


def merged(first: Iterable[Tag], *others: Iterable[Tag]) -> tuple[Tag, ...]:
    """Return the fields of all groups; if a number occurs more than once, the first field is kept."""
    found: dict[int, Tag] = {}
    for group in (first, *others):
        for tag in group:
            found.setdefault(tag.number, tag)
    return tuple(found.values())


def _encoded(root: OutputIfd) -> bytes:
    stream = io.BytesIO()
    write_tiff(stream, root)
    return stream.getvalue()


def _without_long_fields(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    return tuple(tag for tag in tags if len(tag.data) <= LONG_FIELD_BYTES)
