"""The EXIF and GPS directories of a result, from what the source said of its capture.

Source: CIPA DC-008 (EXIF 2.32), tables 4 to 15.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

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
from rawkd.files.tiff.tags import EXIF_IFD, GPS_IFD
from rawkd.photo import Capture, Tag

MAKER_NOTE, INTEROPERABILITY = 37500, 40965
MAIN_NUMBERS = frozenset({270, 315, 33432})
"""ImageDescription, Artist, Copyright: fields of the main directory, wherever the reader found them."""
STALE_IN_RENDERED = frozenset({37121, 37122, 40960, 40961, 40962, 40963, 41730, MAKER_NOTE})
"""What describes the raw picture, not the rendered one (components, size, colour space, CFA), and the maker note."""
EXIF_VERSION, GPS_VERSION = b"0232", bytes((2, 3, 0, 0))
"""For a source that does not say its own."""
LONG_FIELD_BYTES = 2048


def capture_fields(capture: Capture, software: str, *, strip_location: bool = False) -> tuple[Tag, ...]:
    """Make, model, software, date, and who took the photo: for the main directory."""
    texts = ((271, capture.make), (272, capture.model), (305, software), (306, capture.datetime or ""))
    named = tuple(ascii_text(number, text) for number, text in texts if text)
    moved = (tag for tag in capture.exif if tag.number in MAIN_NUMBERS and not (strip_location and tag.number == 270))
    return merged(named, moved)


def capture_directories(capture: Capture, *, strip_location: bool) -> dict[int, tuple[OutputIfd, ...]]:
    """Pointer tag -> EXIF and GPS directory; the location (and the maker note, which may repeat it) on request not."""
    dropped = {INTEROPERABILITY, *MAIN_NUMBERS} | ({MAKER_NOTE} if strip_location else set())
    own = (tag for tag in capture.exif if tag.number not in dropped)
    version = raw_bytes(36864, EXIF_VERSION, UNDEFINED)
    directories: dict[int, tuple[OutputIfd, ...]] = {EXIF_IFD: (OutputIfd(merged(own, [version])),)}
    if capture.gps and not strip_location:
        directories[GPS_IFD] = (OutputIfd(merged(capture.gps, [raw_bytes(0, GPS_VERSION)])),)
    return directories


def rendered_root(
    capture: Capture, software: str, *, strip_location: bool
) -> tuple[tuple[Tag, ...], dict[int, tuple[OutputIfd, ...]]]:
    """Main fields and directories of an upright sRGB picture."""
    directories = capture_directories(capture, strip_location=strip_location)
    taken = (tag for tag in directories[EXIF_IFD][0].tags if tag.number not in STALE_IN_RENDERED)
    own = (raw_bytes(40960, b"0100", UNDEFINED), short(40961, [1]))
    directories[EXIF_IFD] = (OutputIfd(merged(own, taken)),)
    main = (short(274, [1]), rational(282, [300.0]), rational(283, [300.0]), short(296, [2]))
    return merged(main, capture_fields(capture, software, strip_location=strip_location)), directories


def exif_block(
    capture: Capture, size_px: tuple[int, int], software: str, *, strip_location: bool, limit_bytes: int
) -> bytes:
    """The TIFF structure that JPEG (APP1) and PNG (eXIf) carry, for a picture of `size_px` (height, width).

    Fields over 2 KiB are left out where it would pass the limit.
    """
    main, directories = rendered_root(capture, software, strip_location=strip_location)
    picture = (
        raw_bytes(37121, bytes((1, 2, 3, 0)), UNDEFINED),
        long(40962, [size_px[1]]),
        long(40963, [size_px[0]]),
    )
    directories[EXIF_IFD] = (OutputIfd(merged(directories[EXIF_IFD][0].tags, picture)),)
    root = OutputIfd(merged(main, [short(531, [1])]), directories)
    block = _encoded(root)
    if len(block) <= limit_bytes:
        return block
    slim = {number: tuple(OutputIfd(_brief(ifd.tags)) for ifd in group) for number, group in directories.items()}
    return _encoded(OutputIfd(_brief(root.tags), slim))


def merged(first: Iterable[Tag], *others: Iterable[Tag]) -> tuple[Tag, ...]:
    """Fields of all groups; of one number the first that comes."""
    found: dict[int, Tag] = {}
    for group in (first, *others):
        for tag in group:
            found.setdefault(tag.number, tag)
    return tuple(found.values())


def _encoded(root: OutputIfd) -> bytes:
    stream = io.BytesIO()
    write_tiff(stream, root)
    return stream.getvalue()


def _brief(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    return tuple(tag for tag in tags if len(tag.data) <= LONG_FIELD_BYTES)
