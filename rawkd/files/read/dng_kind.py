"""Find the directory of a DNG's raw picture, and refuse kinds of DNG that rawkd cannot denoise.

Source: DNG specification 1.4 to 1.7, chapters 2 and 4. Kinds that LibRaw would misread are refused by name.
"""

from __future__ import annotations

import math

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.tiff.dng_tags import (
    BITS,
    CFA_LAYOUT,
    CFA_PLANE_COLOR,
    CFA_REPEAT_DIM,
    COMPRESSION,
    DNG_VERSION,
    MIN_PX,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    PHOTOMETRIC_CFA,
    PHOTOMETRIC_LINEAR,
    SAMPLE_FORMAT,
    SAMPLES_PER_PIXEL,
    USE_COPY,
    active_area,
    cfa_codes,
    cfa_pattern,
    size_of,
)
from rawkd.files.tiff.layout import refuse_layout, refuse_unreadable
from rawkd.files.tiff.tags import Ifd, TagTree

COMPRESSIONS = frozenset({0, 1, 7})
"""Compressions of mosaics that LibRaw decodes: none (1, in some files 0) and lossless JPEG (7)."""
NAMES_OF_COMPRESSIONS = {
    5: "LZW",
    8: "deflate (ZIP)",
    9: "VC-5 (GoPro GPR)",
    32773: "PackBits",
    32946: "deflate (ZIP)",
    34892: "lossy JPEG",
    34925: "LZMA",
    50000: "Zstandard",
    52546: "JPEG XL",
}
INTERLEAVE_FACTORS = (50975, 52547)
"""RowInterleaveFactor and ColumnInterleaveFactor, which LibRaw ignores."""
COLOR_MATRICES = frozenset({50721, 50722, 52531})
"""ColorMatrix1 to 3, which a monochrome DNG must not have."""


def is_dng(tree: TagTree | None) -> bool:
    """Return whether the file is a DNG, that is, IFD0 has a DNGVersion."""
    return tree is not None and DNG_VERSION in tree.main.tags


def raw_ifd_of(tree: TagTree) -> Ifd:
    """Return the directory of a DNG that has its mosaic or monochrome raw picture: IFD0, a chained IFD or a SubIFD.

    Raises
    ------
    InputError: if no directory has a raw picture, or the picture is too small.
    UnsupportedRawError: if rawkd cannot denoise the raw picture; the message names its kind.
    """
    full = [ifd for ifd in tree.all_ifds() if not int(ifd.number(NEW_SUBFILE_TYPE) or 0) & 1 and _pixels(ifd)]
    mosaics = [ifd for ifd in full if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA]
    linear = [ifd for ifd in full if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_LINEAR]
    if not mosaics:
        mosaics = [ifd for ifd in linear if (ifd.number(SAMPLES_PER_PIXEL) or 1) == 1]
    if not mosaics:
        if linear:
            raise _unsupported("a linear (demosaiced) DNG", "Denoise the camera's own raw file.")
        if {ifd.number(PHOTOMETRIC) for ifd in full} & {0, 1}:
            raise _unsupported("a monochrome picture that is not marked as raw", "Use a raw file of a camera.")
        raise InputError(f"the file is damaged: this DNG has no raw picture. {USE_COPY}")
    raw = max(mosaics, key=_pixels)
    refuse_unreadable(raw)
    area = active_area(raw)
    if min(area.height, area.width) < MIN_PX:
        size = f"{area.width} x {area.height} pixels"
        raise InputError(f"its picture of {size} is smaller than the {MIN_PX} that LibRaw requires. Use a larger one.")
    refuse_unsupported(raw)
    refuse_layout(raw)
    if raw.number(PHOTOMETRIC) == PHOTOMETRIC_LINEAR and COLOR_MATRICES & {*raw.tags, *tree.main.tags}:
        raise InputError(f"the file is damaged: it has a monochrome raw picture and a colour matrix. {USE_COPY}")
    return raw


def refuse_multi_raw(tree: TagTree) -> None:
    """Refuse a TIFF-based raw file with several mosaics of the same size: pixel-shift and multi-raw.

    Raises
    ------
    UnsupportedRawError: if it has several.
    """
    sizes = [
        size_of(ifd)
        for ifd in tree.all_ifds()
        if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA and not ifd.number(NEW_SUBFILE_TYPE) and _pixels(ifd)
    ]
    if sizes and (count := sizes.count(max(sizes))) > 1:
        raise _unsupported(
            f"a file with {count} raw pictures (pixel-shift or multi-raw)", "Use a file with one raw picture."
        )


def refuse_unsupported(raw: Ifd) -> None:
    """Refuse a mosaic that rawkd cannot denoise or that LibRaw would misread.

    Raises
    ------
    UnsupportedRawError: if it is such a kind; the message names it.
    InputError: if the tags contradict each other.
    """
    _refuse_encoding(raw)
    _refuse_mosaic(raw)
    cfa_pattern(raw)


def _refuse_encoding(raw: Ifd) -> None:
    if any((raw.number(number) or 1) != 1 for number in INTERLEAVE_FACTORS):
        raise _unsupported("a DNG with interleaved rows or columns", "Convert it to a DNG with lossless JPEG.")
    if raw.number(SAMPLE_FORMAT) == 3:
        raise _unsupported("a DNG with floating-point pixels", "Convert it to integers.")
    if (bits := raw.number(BITS) or 0) > 16:
        raise _unsupported(f"a DNG with {bits:g} bits per pixel", "Convert it to 16 bits.")
    if (raw.number(SAMPLES_PER_PIXEL) or 1) != 1:
        raise _unsupported("a mosaic with several samples per pixel", "Denoise the camera's own raw file.")
    compression = int(raw.number(COMPRESSION) or 1)
    if compression not in COMPRESSIONS:
        name = NAMES_OF_COMPRESSIONS.get(compression, f"code {compression}")
        raise UnsupportedRawError(
            f"its pixels are compressed as {name}, which rawkd cannot decode. Convert it to a DNG with lossless JPEG."
        )


def _refuse_mosaic(raw: Ifd) -> None:
    if (raw.number(CFA_LAYOUT) or 1) != 1:
        raise _unsupported("a staggered mosaic (Super-CCD)", "Use a raw file with square pixels.")
    if raw.number(PHOTOMETRIC) == PHOTOMETRIC_LINEAR:
        return
    repeat = list(raw.numbers(CFA_REPEAT_DIM)) or [2, 2]
    if repeat not in ([2, 2], [6, 6]):
        kind = "quad Bayer or another mosaic" if repeat == [4, 4] else "a mosaic"
        raise _unsupported(
            f"{kind} that repeats every {' x '.join(f'{n:g}' for n in repeat)} pixels",
            "Use a raw file of a Bayer or X-Trans camera.",
        )
    codes = cfa_codes(raw)
    if len(codes) != math.prod(repeat):
        raise InputError(f"the file is damaged: it has {len(codes)} colour filters for a cell of {repeat}. {USE_COPY}")
    if len(raw.numbers(CFA_PLANE_COLOR)) > 3 or any(code > 2 for code in codes):
        raise _unsupported("a four-colour mosaic (CMYG, RGBE or RGBW)", "Use a raw file of a red-green-blue camera.")
    if len(set(codes)) == 1:
        raise _unsupported("a mosaic of a single colour", "Use the camera's own raw file.")
    if repeat == [6, 6]:
        try:
            cfa_pattern(raw)
        except InputError:
            raise _unsupported("a mosaic of 6 x 6 pixels that is not X-Trans", "Use the camera's own file.") from None


def _pixels(ifd: Ifd) -> int:
    height, width = size_of(ifd)
    return height * width


def _unsupported(what: str, remedy: str) -> UnsupportedRawError:
    return UnsupportedRawError(f"rawkd cannot denoise {what}. {remedy}")
