"""Build the fields of an output DNG for its two directories: main (IFD0) and raw picture.

Source: DNG specification 1.4 and 1.6, chapter 4 (each tag's "Used in IFD").
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np

from rawkd.errors import OutputError
from rawkd.files.tiff.dng_tags import (
    NOISE_PROFILE_COUNTS,
    NOISE_REDUCTION_APPLIED,
    PHOTOMETRIC,
    PHOTOMETRIC_CFA,
    PHOTOMETRIC_LINEAR,
    USER_CROP,
    user_crop,
)
from rawkd.files.tiff.exif import capture_fields, merged
from rawkd.files.tiff.ifd import ascii_text, double, integers, rational, raw_bytes, short, srational
from rawkd.files.tiff.opcodes import without_bad_pixel_value
from rawkd.files.tiff.tags import Ifd, tag_numbers
from rawkd.files.xmp.packet import XMP
from rawkd.photo import CFAPattern, DoubleArray, RawPhoto, Rect, Tag, camera_name

OWN_VERSION = (1, 4, 0, 0)
D65 = 21
BACKWARD_VERSION = 50707
OPCODE_LISTS = frozenset({51008, 51009, 51022})
THIRD_ILLUMINANT = frozenset({52529, 52530, 52531, 52532})
RAW_NUMBERS = OPCODE_LISTS | {50733, 50737, 50738, 50780, 50830, 52525, 52536}
"""Kept fields that belong to the raw picture's directory: green split, chroma blur, anti-alias strength, best quality
scale, masked areas, opcode lists, gain table map, masked sub-area."""
WRITTEN_OR_STALE = frozenset({XMP, BACKWARD_VERSION, 50712, 50715, 50716, 50781, 50935, 50972, 51041, 51111, USER_CROP})
"""Never copied: fields that depend on the arguments (XMP, versions, black deltas, NoiseProfile, NoiseReductionApplied,
digest) or on the photo (DefaultUserCrop), and fields that are no longer valid (LinearizationTable, RawDataUniqueID,
older digests)."""
LOCATION_TAGS = frozenset({33723, 34377, *range(40091, 40096), 50740, 50741, 50828})
"""Fields that may contain the location: IPTC, Photoshop, Windows keywords, private data (maker notes), embedded
original file."""


def main_fields(
    photo: RawPhoto, *, software: str, packet: bytes, noise_reduction: float, strip_location: bool
) -> tuple[Tag, ...]:
    """Return the fields of IFD0, without those of the picture stored in it.

    Parameters
    ----------
    packet : XMP to write, empty for none. noise_reduction : part of the noise that was removed, 0 none, 1 all.
    """
    capture = photo.capture
    version = max(photo.dng_version, OWN_VERSION)
    name = capture.unique_camera_model or camera_name(capture) or "Unknown camera"
    own = (
        short(274, [photo.orientation]),
        raw_bytes(50706, bytes(version)),
        raw_bytes(BACKWARD_VERSION, bytes(min(version, _backward_version(photo)))),
        ascii_text(50708, name),
    )
    named = capture_fields(capture, software, strip_location=strip_location)
    kept = (tag for tag in kept_fields(photo, strip_location=strip_location) if tag.number not in RAW_NUMBERS)
    xmp = (raw_bytes(XMP, packet),) if packet else ()
    return merged(own, named, xmp, noise_reduction_applied(photo, noise_reduction), _color(photo), kept)


def raw_fields(photo: RawPhoto, noise_profile: tuple[float, ...], noise_reduction: float = 0.0) -> tuple[Tag, ...]:
    """Return the fields of the raw picture's directory, without those that describe the storage of its pixels.

    Parameters
    ----------
    noise_reduction : part of the noise that was removed, 0 none, 1 all.

    Raises
    ------
    OutputError: if `noise_profile` has a length that DNG does not allow.
    """
    levels = photo.levels
    own = [
        *_filters(photo.pattern),
        short(50713, levels.black_dn.shape),
        _black(levels.black_dn),
        integers(50717, [round(levels.white_dn)]),
        *geometry(photo, photo.active_area),
    ]
    if levels.column_delta_dn is not None:
        own.append(srational(50715, levels.column_delta_dn.tolist()))
    if levels.row_delta_dn is not None:
        own.append(srational(50716, levels.row_delta_dn.tolist()))
    if noise_profile:
        if len(noise_profile) not in NOISE_PROFILE_COUNTS:
            raise OutputError(f"a NoiseProfile of {len(noise_profile)} numbers is not allowed in a DNG, only 2, 6 or 8")
        own.append(double(51041, noise_profile))
    kept = (tag for tag in kept_fields(photo, strip_location=False) if tag.number in RAW_NUMBERS)
    return merged(own, noise_reduction_applied(photo, noise_reduction), kept)


def _filters(pattern: CFAPattern) -> tuple[Tag, ...]:
    """Return the fields of the colour filters; a monochrome picture is a linear one of one sample."""
    if pattern.kind == "mono":
        return (short(PHOTOMETRIC, [PHOTOMETRIC_LINEAR]),)
    return (
        short(PHOTOMETRIC, [PHOTOMETRIC_CFA]),
        short(33421, [pattern.side, pattern.side]),
        raw_bytes(33422, bytes("RGB".index(colour) for colour in pattern.colours)),
        raw_bytes(50710, bytes((0, 1, 2))),
        short(50711, [1]),
    )


def geometry(photo: RawPhoto, area: Rect) -> tuple[Tag, ...]:
    """Return the fields of pixel shape, default crop, user crop and active area.

    Parameters
    ----------
    area : the active area in the stored picture.
    """
    crop = photo.default_crop
    return (
        rational(50718, _scale(photo.pixel_aspect)),
        integers(50719, [crop.left, crop.top]),
        integers(50720, [crop.width, crop.height]),
        integers(50829, [area.top, area.left, area.top + area.height, area.left + area.width]),
        *_user_crop(photo),
    )


def _user_crop(photo: RawPhoto) -> tuple[Tag, ...]:
    """Return DefaultUserCrop: the source's own field if it still states the photo's user crop, else a new one or none.

    Top, left, bottom and right are parts of the default crop.
    """
    crop, user = photo.default_crop, photo.user_crop
    user = None if user == crop else user
    own = {tag.number: tag for tag in photo.tags if tag.number == USER_CROP}
    if user_crop(Ifd(own), crop)[0] == user:
        return tuple(own.values())
    if user is None:
        return ()
    top, left = user.top - crop.top, user.left - crop.left
    bottom, right = top + user.height, left + user.width
    ends = (top / crop.height, left / crop.width, bottom / crop.height, right / crop.width)
    return (rational(USER_CROP, ends),)


def kept_fields(photo: RawPhoto, *, strip_location: bool) -> Iterable[Tag]:
    """Yield the source's fields that are still valid, for either directory."""
    dropped = WRITTEN_OR_STALE | (LOCATION_TAGS if strip_location else frozenset())
    tags = without_bad_pixel_value(photo.tags) if photo.has_new_samples else photo.tags
    return (tag for tag in tags if tag.number not in dropped)


def noise_reduction_applied(photo: RawPhoto, removed: float) -> tuple[Tag, ...]:
    """Return NoiseReductionApplied: the source's own if nothing was removed, else both together.

    If the camera removed a part a of the noise, and rawkd a part b of the rest, (1 - a)(1 - b) of it is left (our
    choice). Readers that look for the field in one directory only find it, since both directories have it.
    """
    stated = next((tag for tag in photo.tags if tag.number == NOISE_REDUCTION_APPLIED), None)
    if removed == 0:
        return () if stated is None else (stated,)
    before = tag_numbers(stated) if stated is not None else ()
    left = 1 - removed
    if len(before) == 1 and 0 <= before[0] <= 1:
        left *= 1 - before[0]
    return (rational(NOISE_REDUCTION_APPLIED, [round(1 - left, 6)]),)


def _color(photo: RawPhoto) -> Iterable[Tag]:
    """Return the source's own colour fields, or one matrix for D65; only the exposure of a monochrome photo."""
    color = photo.color
    exposure = srational(50730, [color.baseline_exposure])
    if photo.pattern.kind == "mono":
        return (exposure,)
    if color.tags:
        return color.tags
    return (
        srational(50721, color.camera_from_xyz.ravel().tolist()),
        rational(50728, color.as_shot_neutral.tolist()),
        exposure,
        short(50778, [D65]),
    )


def _black(black_dn: DoubleArray) -> Tag:
    values = black_dn.ravel().tolist()
    if np.array_equal(black_dn, np.rint(black_dn)) and min(values) >= 0:
        return integers(50714, [int(value) for value in values])
    return rational(50714, values)


def _scale(pixel_aspect: float) -> tuple[float, float]:
    """Return DefaultScale, horizontal and vertical: the axis with fewer pixels is stretched, so that none is lost."""
    return (pixel_aspect, 1.0) if pixel_aspect >= 1 else (1.0, 1 / pixel_aspect)


def _backward_version(photo: RawPhoto) -> tuple[int, ...]:
    """Return the oldest DNG version whose readers render the picture correctly.

    16-bit lossless JPEG needs 1.1, opcode lists 1.3, a third illuminant 1.6. It is never lower than the source's value.
    """
    numbers = {tag.number for tag in chain(kept_fields(photo, strip_location=False), photo.color.tags)}
    needed = (1, 1, 0, 0)
    if numbers & OPCODE_LISTS:
        needed = (1, 3, 0, 0)
    if numbers & THIRD_ILLUMINANT:
        needed = (1, 6, 0, 0)
    demanded = (
        tuple(tag.data) for tag in photo.tags if tag.number == BACKWARD_VERSION and len(tag.data) == len(needed)
    )
    return max([needed, *demanded])
