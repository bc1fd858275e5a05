"""What kind of DNG a file is: which directory holds its mosaic, and whether it is one that we can denoise.

Source: DNG specification 1.4 to 1.7, chapters 2 and 4. What LibRaw would misread is refused by name here.
"""

from __future__ import annotations

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.tiff.dng_tags import (
    BITS,
    CFA_LAYOUT,
    CFA_PLANE_COLOR,
    CFA_REPEAT_DIM,
    COMPRESSION,
    DNG_VERSION,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    SAMPLES_PER_PIXEL,
    USE_COPY,
    active_area,
    cfa_codes,
    cfa_pattern,
    size_of,
)
from rawkd.files.tiff.tags import Ifd, TagTree

PHOTOMETRIC_CFA, PHOTOMETRIC_LINEAR = 32803, 34892
COMPRESSIONS = frozenset({0, 1, 7})
"""Those of mosaics that LibRaw decodes: none, which some files call 0, and lossless JPEG."""
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
"""RowInterleaveFactor and ColumnInterleaveFactor, which LibRaw passes over."""
MIN_PX = 22
"""Pictures (active areas) lower or narrower than this are no raw files to LibRaw."""


def is_dng(tree: TagTree | None) -> bool:
    """Whether the file is a DNG: IFD0 has a DNGVersion."""
    return tree is not None and DNG_VERSION in tree.main.tags


def raw_ifd_of(tree: TagTree) -> Ifd:
    """The directory of a DNG that holds its Bayer mosaic, wherever it stands.

    Raises
    ------
    InputError: none holds a raw picture.
    UnsupportedRawError: the raw picture is none that we denoise; the sentence names its kind.
    """
    full = [ifd for ifd in tree.all_ifds() if not int(ifd.number(NEW_SUBFILE_TYPE) or 0) & 1 and _pixels(ifd)]
    mosaics = [ifd for ifd in full if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA]
    if not mosaics:
        kinds = {ifd.number(PHOTOMETRIC) for ifd in full}
        if PHOTOMETRIC_LINEAR in kinds:
            raise _unsupported("a linear DNG, demosaiced already", "denoise the camera's own raw file")
        if kinds & {0, 1}:
            raise _unsupported("a monochrome raw", "use a raw file of a colour camera")
        raise InputError(f"it is a DNG without a raw picture, so it is damaged: {USE_COPY}")
    raw = max(mosaics, key=_pixels)
    area = active_area(raw)
    if min(area.height, area.width) < MIN_PX:
        size = f"{area.width} x {area.height} pixels"
        raise InputError(f"its picture of {size} is smaller than the {MIN_PX} that LibRaw decodes: give a larger one")
    refuse_unsupported(raw)
    return raw


def refuse_multi_raw(tree: TagTree) -> None:
    """Refuse a TIFF-based raw of any maker with several mosaics of one size: pixel-shift and multi-raw.

    Raises
    ------
    UnsupportedRawError: it has several.
    """
    sizes = [
        size_of(ifd)
        for ifd in tree.all_ifds()
        if ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA and not ifd.number(NEW_SUBFILE_TYPE) and _pixels(ifd)
    ]
    if sizes and (count := sizes.count(max(sizes))) > 1:
        raise _unsupported(f"a file of {count} raw pictures (pixel-shift or multi-raw)", "give a file with one")


def refuse_unsupported(raw: Ifd) -> None:
    """Refuse a mosaic of a kind that we do not denoise, or that LibRaw would read as something else.

    Raises
    ------
    UnsupportedRawError: with the kind's name.
    InputError: the tags contradict each other.
    """
    _refuse_encoding(raw)
    _refuse_mosaic(raw)
    cfa_pattern(raw)


def _refuse_encoding(raw: Ifd) -> None:
    if any((raw.number(number) or 1) != 1 for number in INTERLEAVE_FACTORS):
        raise _unsupported("a DNG of interleaved rows or columns", "convert it to a DNG in lossless JPEG")
    if raw.number(SAMPLE_FORMAT) == 3:
        raise _unsupported("a DNG of floating-point samples", "convert it to integers")
    if (bits := raw.number(BITS) or 0) > 16:
        raise _unsupported(f"a DNG of {bits:g} bits a sample", "convert it to 16 bits")
    if (raw.number(SAMPLES_PER_PIXEL) or 1) != 1:
        raise _unsupported("a mosaic of several samples a pixel", "denoise the camera's own raw file")
    compression = int(raw.number(COMPRESSION) or 1)
    if compression not in COMPRESSIONS:
        name = NAMES_OF_COMPRESSIONS.get(compression, f"code {compression}")
        raise UnsupportedRawError(
            f"its samples are compressed as {name}, which rawkd cannot decode: convert it to a DNG in lossless JPEG"
        )


def _refuse_mosaic(raw: Ifd) -> None:
    if (raw.number(CFA_LAYOUT) or 1) != 1:
        raise _unsupported("a staggered mosaic (Super-CCD)", "use a raw file with square pixels")
    repeat = list(raw.numbers(CFA_REPEAT_DIM)) or [2, 2]
    if repeat == [6, 6]:
        raise _unsupported("an X-Trans mosaic", "use a raw file of a Bayer camera")
    if repeat != [2, 2]:
        raise _unsupported(
            f"a mosaic that repeats every {' x '.join(f'{n:g}' for n in repeat)} pixels", "use a Bayer one"
        )
    codes = cfa_codes(raw)
    if len(raw.numbers(CFA_PLANE_COLOR)) > 3 or any(code > 2 for code in codes):
        raise _unsupported("a four-colour mosaic (CMYG, RGBE or RGBW)", "use a raw file of a red-green-blue camera")
    if len(set(codes)) == 1:
        raise _unsupported("a monochrome raw", "use a raw file of a colour camera")


def _pixels(ifd: Ifd) -> int:
    height, width = size_of(ifd)
    return height * width


def _unsupported(what: str, remedy: str) -> UnsupportedRawError:
    return UnsupportedRawError(f"it is {what}, which cannot be denoised: {remedy}")
