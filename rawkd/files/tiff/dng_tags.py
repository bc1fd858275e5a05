"""Read the geometry, CFA phase, levels and noise of a DNG's raw picture from its tags.

Source: DNG specification 1.4 to 1.7, chapters 2 and 4. LibRaw decodes the pixels. We read their meaning from the tags
ourselves, because LibRaw moves odd margins, reads a 4x4 black level as one number, and orders black levels by colour.
"""

from __future__ import annotations

import math

import numpy as np

from rawkd.errors import InputError
from rawkd.files.sanity import checked_levels
from rawkd.files.tiff.tags import Ifd, TagTree, tag_numbers
from rawkd.photo import CFAPattern, DoubleArray, Levels, Rect

DNG_VERSION = 50706
NEW_SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
PHOTOMETRIC_CFA, PHOTOMETRIC_LINEAR = 32803, 34892
SAMPLES_PER_PIXEL, SAMPLE_FORMAT = 277, 339
CFA_REPEAT_DIM, CFA_PATTERN, CFA_PLANE_COLOR, CFA_LAYOUT = 33421, 33422, 50710, 50711
LINEARIZATION_TABLE = 50712
BLACK_REPEAT_DIM, BLACK_LEVEL, BLACK_DELTA_H, BLACK_DELTA_V, WHITE_LEVEL = 50713, 50714, 50715, 50716, 50717
DEFAULT_SCALE, CROP_ORIGIN, CROP_SIZE, ACTIVE_AREA = 50718, 50719, 50720, 50829
NOISE_PROFILE, USER_CROP = 51041, 51125
NOISE_REDUCTION_APPLIED = 50935
NOISE_PROFILE_COUNTS = (2, 6, 8)
MIN_PX = 22
"""Smallest height and width of an active area that LibRaw accepts."""
USE_COPY = "Use another copy of the file."


def cfa_pattern(raw: Ifd) -> CFAPattern:
    """Return the CFA phase at the active area's origin (CFAPattern, 33422); monochrome for a LinearRaw picture.

    Raises
    ------
    InputError: if the colours are not a Bayer or X-Trans cell.
    """
    if raw.number(PHOTOMETRIC) == PHOTOMETRIC_LINEAR:
        return CFAPattern.MONO
    codes = cfa_codes(raw)
    name = "".join("RGB"[int(code)] if code in (0, 1, 2) else "?" for code in codes)
    try:
        return CFAPattern(name)
    except ValueError:
        raise InputError(
            f"the file is damaged: its colour filters {name!r} are not a Bayer or X-Trans cell. {USE_COPY}"
        ) from None


def cfa_codes(raw: Ifd) -> tuple[float, ...]:
    """Return the colour codes of the CFA cell, row by row: 0 red, 1 green, 2 blue (CFAPattern, 33422)."""
    tag = raw.tags.get(CFA_PATTERN)
    if tag is None:
        return ()
    return tuple(float(byte) for byte in tag.data) if tag.type == 7 else tag_numbers(tag)


def active_area(raw: Ifd) -> Rect:
    """Return ActiveArea (50829), or the whole frame if the tag is missing.

    Raises
    ------
    InputError: if the tag is malformed or extends beyond the frame.
    """
    height, width = size_of(raw)
    corners = raw.numbers(ACTIVE_AREA)
    if ACTIVE_AREA not in raw.tags:
        return Rect(0, 0, height, width)
    if len(corners) != 4:
        raise InputError(f"the file is damaged: its active area has {len(corners)} numbers, not 4. {USE_COPY}")
    top, left, bottom, right = (int(corner) for corner in corners)
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise InputError(
            f"the file is damaged: its active area ({top}, {left}, {bottom}, {right}) exceeds the frame. {USE_COPY}"
        )
    return Rect(top, left, bottom - top, right - left)


def crops(raw: Ifd, area: Rect) -> tuple[Rect, Rect | None, tuple[str, ...]]:
    """Return default crop and user crop (None for all of the default crop), and a warning for each unusable one."""
    crop, warnings = _default_crop(raw, area)
    found, more = user_crop(raw, crop)
    return crop, found, warnings + more


def _default_crop(raw: Ifd, area: Rect) -> tuple[Rect, tuple[str, ...]]:
    """Return the default crop in whole pixels relative to the active area, and a warning if the tags are unusable.

    Source: DefaultCropOrigin and DefaultCropSize (50719, 50720). Without usable tags it is the whole active area.
    """
    origin = raw.numbers(CROP_ORIGIN) or (0.0, 0.0)
    size = raw.numbers(CROP_SIZE) or (area.width - origin[0], area.height - origin[-1])
    if len(origin) == 2 and len(size) == 2 and not (raw.is_unreadable(CROP_ORIGIN) or raw.is_unreadable(CROP_SIZE)):
        left, top, width, height = (math.floor(value + 0.5) for value in (*origin, *size))
        bottom, right = min(top + height, area.height), min(left + width, area.width)
        if 0 <= top < bottom and 0 <= left < right:
            return Rect(top, left, bottom - top, right - left), ()
    whole = Rect(0, 0, area.height, area.width)
    return whole, ("the file's default crop lies outside its picture or cannot be read. The whole picture is kept.",)


def user_crop(raw: Ifd, crop: Rect) -> tuple[Rect | None, tuple[str, ...]]:
    """Return the part of the default crop that pictures show; None for all of it, with a warning if it is unusable.

    Source: DefaultUserCrop (51125), top, left, bottom, right as parts of the default crop before it is turned.
    """
    if USER_CROP not in raw.tags and USER_CROP not in raw.damaged:
        return None, ()
    ends = raw.numbers(USER_CROP)
    if len(ends) == 4 and 0 <= ends[0] < ends[2] <= 1 and 0 <= ends[1] < ends[3] <= 1:
        top, bottom = (math.floor(end * crop.height + 0.5) for end in ends[::2])
        left, right = (math.floor(end * crop.width + 0.5) for end in ends[1::2])
        if bottom > top and right > left:
            found = Rect(crop.top + top, crop.left + left, bottom - top, right - left)
            return (None if found == crop else found), ()
    return None, ("the file's user crop is invalid or cannot be read. Pictures show all of it.",)


def valid_aspect(aspect: float) -> float:
    """Return the width / height of a pixel, or 1 if it is implausible (LibRaw rejects files with such values)."""
    return aspect if math.isfinite(aspect) and 0.1 < aspect < 10 else 1.0


def pixel_aspect(raw: Ifd) -> float:
    """Return the width / height of a pixel: DefaultScale (50718), horizontal / vertical; 1 if it is missing."""
    scale = raw.numbers(DEFAULT_SCALE)
    if len(scale) != 2 or min(scale) <= 0:
        return 1.0
    return valid_aspect(scale[0] / scale[1])


def levels(raw: Ifd, area: Rect, bits: int, cell_side: int = 2) -> Levels:
    """Return black levels (repeat pattern, deltas of rows and columns) and white level (50713 to 50717).

    Parameters
    ----------
    bits : minimum number of bits that the linearised integers of the frame need. cell_side : side of the CFA's cell.

    Raises
    ------
    InputError: if the tags contradict each other or the active area, or a black level is negative (BlackLevel is
        SHORT, LONG or RATIONAL).
    """
    stored = int(raw.number(BITS) or 16)
    white = raw.number(WHITE_LEVEL)
    white_dn = float(2**stored - 1) if white is None else white
    repeat = tuple(int(n) for n in raw.numbers(BLACK_REPEAT_DIM)) or (1, 1)
    values = raw.numbers(BLACK_LEVEL) or (0.0,)
    if len(repeat) != 2 or not 0 < repeat[0] * repeat[1] <= len(values) or min(repeat) < 1:
        raise InputError(
            f"the file is damaged: it has {len(values)} black levels for a repeat pattern of {repeat}. {USE_COPY}"
        )
    black = np.array(values[: repeat[0] * repeat[1]], np.float64).reshape(repeat)
    if black.min() < 0:
        raise InputError(f"the file is damaged: its black level {black.min():g} is negative. {USE_COPY}")
    return checked_levels(
        black,
        white_dn,
        saturation_dn=white_dn,
        bits=max(bits, min(16, int(white_dn).bit_length())),
        row_delta_dn=_deltas(raw, BLACK_DELTA_V, area.height),
        column_delta_dn=_deltas(raw, BLACK_DELTA_H, area.width),
        cell_side=cell_side,
    )


def _deltas(raw: Ifd, number: int, count: int) -> DoubleArray | None:
    if number not in raw.tags:
        return None
    values = np.array(raw.numbers(number), np.float64)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputError(
            f"the file is damaged: tag {number} has {values.size} black levels for {count} rows or columns. {USE_COPY}"
        )
    return values if values.any() else None


def noise_profile(tree: TagTree, raw: Ifd) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return NoiseProfile (51041) of the raw directory, else of IFD0; empty, with a warning, if it is invalid."""
    ifd = raw if NOISE_PROFILE in raw.tags else tree.main
    if NOISE_PROFILE not in ifd.tags:
        return (), ()
    values = ifd.numbers(NOISE_PROFILE)
    valid = all(math.isfinite(value) and 0 <= value < 1 for value in values) and all(gain > 0 for gain in values[::2])
    if len(values) in NOISE_PROFILE_COUNTS and valid:
        return values, ()
    return (), ("the file's NoiseProfile is invalid and is not used",)


def dng_version(tree: TagTree) -> tuple[int, int, int, int]:
    """Return DNGVersion (50706), or 1.4 if no such version exists."""
    values = [int(value) for value in tree.main.numbers(DNG_VERSION)]
    if not is_valid_version(values):
        return (1, 4, 0, 0)
    return values[0], values[1], values[2], values[3]


def is_valid_version(values: list[int]) -> bool:
    """Return whether the numbers are an existing DNG version: 1.0 to 1.7."""
    return len(values) == 4 and values[0] == 1 and 0 <= values[1] <= 7 and all(0 <= value < 256 for value in values)


def size_of(ifd: Ifd) -> tuple[int, int]:
    """Return height and width of a directory's picture; 0 where the tag is missing."""
    return int(ifd.number(HEIGHT) or 0), int(ifd.number(WIDTH) or 0)
