"""Leave out what identifies a camera, a lens or their owner (`--strip-private`).

Artist and copyright stay: they are the credit that a photographer wants to be read. Sources: EXIF 2.32 (42016, 42032,
42033, 42037); DNG specification 1.4 (50735, 50740); XMP properties of the same meaning in the namespaces aux, exif,
exifEX and those of drones, by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from rawkd.files.tiff.exif import HOST_COMPUTER
from rawkd.files.tiff.maker_note import DNG_PRIVATE_DATA, MAKER_NOTE
from rawkd.files.xmp.remove import without_properties
from rawkd.photo import Capture, RawPhoto, Tag

IMAGE_UNIQUE_ID, OWNER_NAME, BODY_SERIAL, LENS_SERIAL = 42016, 42032, 42033, 42037
ADOBE_OWNER_NAME, ADOBE_SERIAL = 65000, 65001
CAMERA_SERIAL, MAKER_NOTE_SAFETY = 50735, 50741
PRIVATE = frozenset(
    {HOST_COMPUTER, IMAGE_UNIQUE_ID, OWNER_NAME, BODY_SERIAL, LENS_SERIAL, ADOBE_OWNER_NAME, ADOBE_SERIAL}
    | {CAMERA_SERIAL, DNG_PRIVATE_DATA, MAKER_NOTE, MAKER_NOTE_SAFETY}
)
"""EXIF and DNG fields: name of a computer, id of the picture, owner, serial numbers of body and lens; maker notes, that
repeat them."""
IN_XMP = re.compile("serial|ownername|imageuniqueid|imageguid|makernote", re.IGNORECASE)
"""Part of the name of each private XMP property."""


def without_private(photo: RawPhoto) -> RawPhoto:
    """Return the photo without private fields; an XMP packet among its tags stays as it is."""
    return replace(photo, capture=without_private_exif(photo.capture), tags=without_private_tags(photo.tags))


def without_private_exif(capture: Capture) -> Capture:
    """Return the capture data without private EXIF fields."""
    return replace(capture, exif=without_private_tags(capture.exif))


def without_private_tags(tags: Iterable[Tag]) -> tuple[Tag, ...]:
    """Return the fields without private ones."""
    return tuple(tag for tag in tags if tag.number not in PRIVATE)


def without_private_xmp(packet: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the packet without private properties, and a warning if it cannot be read and is left out."""
    return without_properties(packet, IN_XMP, "private data")
