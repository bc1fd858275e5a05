"""Say why a file cannot be read: it is no raw file, or LibRaw refuses it or what it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.read.dng_kind import is_dng
from rawkd.files.read.first_bytes import ARRAY_TO_PHOTO_OF, CAMERAS_FILE
from rawkd.files.read.identify import names_own_stream
from rawkd.files.read.metadata import MAKE
from rawkd.files.sanity import COPY_AGAIN, NO_SUCH_FILE
from rawkd.files.tiff.dng_tags import (
    BITS,
    CFA_PATTERN,
    COMPRESSION,
    PHOTOMETRIC,
    PHOTOMETRIC_CFA,
    size_of,
)
from rawkd.files.tiff.tags import Ifd, TagTree

KINDS_OF_SENSORS = "Bayer, X-Trans and monochrome raws"
PLAIN_TIFF = f"this TIFF is a finished picture, not a raw file. {CAMERAS_FILE}."
NO_FILTERS = f"this TIFF is marked as a mosaic, but does not state its colour filters. {ARRAY_TO_PHOTO_OF}"
PLAIN_COMPRESSIONS = frozenset({0, 1, 5, 8, 32773, 32946})
"""Compressions of pictures that any program writes: none, LZW, deflate, PackBits. Raws without CFA tags (CR2) have
others, or fields of their maker."""
FIELDS_OF_MAKERS = frozenset({
    29184, 33424, 34303, 34306, 34307, 34310, 46274, 46275, 46279, 50454, 50455, 50458, 50459, 50740, 50752, 61440,
    64777, 65024,
})  # fmt: skip
"""Fields by which LibRaw knows a TIFF without CFA tags as a raw file: of Sony, Kodak, Leaf, Imacon, Sinar, Hasselblad,
Canon and Fujifilm."""
OUT_OF_MEMORY = ("LibRawTooBigError", "LibRawUnsufficientMemoryError", "MemoryError")
"""Errors of the decoder that mean that a frame did not fit into memory."""


@contextmanager
def naming_the_file(path: Path) -> Iterator[None]:
    """Put the path before the errors of a photo, and make those of the system an InputError."""
    try:
        yield
    except UnsupportedRawError as error:
        raise UnsupportedRawError(f"{path}: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{path}: the file cannot be read ({error.strerror}). Check the disk and the file's permissions."
        ) from error


def refuse_no_photo(path: Path) -> None:
    """Refuse what cannot be a photo before anything else is checked, so that a wrong name is told first.

    Raises
    ------
    InputError: as `refuse_no_file`, with the path, and if the file cannot be seen.
    FileNotFoundError: if the current folder was deleted and the path begins there.
    """
    os.path.abspath(path)  # noqa: PTH100 -- raises the error
    with naming_the_file(path):
        refuse_no_file(path)


def refuse_no_file(path: Path) -> None:
    """Refuse what is no file with content.

    Raises
    ------
    InputError: for a folder, a missing or empty file, a pipe or a device.
    """
    if path.is_dir():
        raise InputError("this is a folder. Give the raw files in it.")
    if not path.exists():
        raise InputError(NO_SUCH_FILE)
    if names_own_stream(path) or not path.is_file():
        raise InputError("this is not a regular file. Give a raw file.")
    if path.stat().st_size == 0:
        raise InputError("the file is empty. Copy it again from the card.")


def refuse_plain_tiff(tree: TagTree, head: bytes) -> None:
    """Refuse a TIFF that nothing marks as raw: a scan, or a mosaic that a program saved without its meaning.

    LibRaw would take one of 16 bits for RGGB with black 0, and would ignore its byte order, tiles and compression.

    Parameters
    ----------
    tree : all directories of the file. head : its first 64 bytes.

    Raises
    ------
    InputError: if it is neither a DNG nor one of a camera's raw formats.
    """
    if head[2:4] not in (b"*\0", b"\0*") or is_dng(tree) or _names_phase_one(head) or _states_filters(tree):
        return
    make = tree.main.text(MAKE)
    if make and _is_mosaic(tree):
        return  # `refuse_unknown_filters` asks LibRaw
    largest = max(tree.all_ifds(), key=_bits_of)
    if _bits_of(largest) and (not make or int(largest.number(COMPRESSION) or 1) in PLAIN_COMPRESSIONS):
        raise InputError(NO_FILTERS if _is_mosaic(tree) else PLAIN_TIFF)


def refuse_unknown_filters(tree: TagTree, *, knows_camera: bool) -> None:
    """Refuse a TIFF that is marked as a mosaic but states no colour filters, unless LibRaw knows its camera.

    Raises
    ------
    InputError: if nobody knows its filters, which LibRaw would take for RGGB.
    """
    if _is_mosaic(tree) and not is_dng(tree) and not _states_filters(tree) and not knows_camera:
        raise InputError(NO_FILTERS)


def _is_mosaic(tree: TagTree) -> bool:
    """Return whether a directory is marked as a mosaic."""
    return any(ifd.number(PHOTOMETRIC) == PHOTOMETRIC_CFA for ifd in tree.all_ifds())


def _states_filters(tree: TagTree) -> bool:
    """Return whether a directory has a CFA pattern, or a field of a maker whose filters LibRaw knows."""
    return any(ifd.tags.keys() & {CFA_PATTERN, *FIELDS_OF_MAKERS} for ifd in tree.all_ifds())


def _names_phase_one(head: bytes) -> bool:
    """Return whether a TIFF's header is that of Phase One's raw files."""
    return b"IIII" in head[:32] or b"MMMM" in head[:32]


def _bits_of(ifd: Ifd) -> float:
    """Return the bits of a directory's picture in one channel, by which LibRaw takes the largest; 0 without one."""
    height, width = size_of(ifd)
    return height * width * (ifd.number(BITS) or 1)


def refusal(header: dict[str, Any]) -> InputError:
    """Return the error for an answer of the decoder that names one of LibRaw's."""
    kind = header["error"]
    if kind == "size":
        size = f"{header['width']} x {header['height']} pixels"
        return InputError(
            f"the file is truncated or damaged: it claims {size}, but is too short for them. {COPY_AGAIN}"
        )
    if kind in ("LibRawFileUnsupportedError", "NotImplementedError"):
        return InputError(f"this is not a raw file that LibRaw can read, or it is damaged. {CAMERAS_FILE}.")
    if kind == "bare":
        return UnsupportedRawError(
            "the file has no header, so its size, colours and levels are unknown. Give the camera's own raw file, or"
            " pass its numbers, read with numpy.fromfile and reshaped, to rawkd.photo_of in Python."
        )
    if kind in OUT_OF_MEMORY:
        return InputError(f"the file is damaged: it claims more pixels than fit into memory. {COPY_AGAIN}")
    return InputError(f"the raw data are truncated or damaged. {COPY_AGAIN}")


def unsupported(header: dict[str, Any]) -> UnsupportedRawError:
    """Return the error for an answer of the decoder that has no frame."""
    advice = "Use another raw file."
    what = "a mosaic that is not Bayer or X-Trans (Super-CCD or similar)"
    if header["kind"] == "stack":
        what = "three or four colours at every pixel (linear, sRAW, Foveon, YRGB or pixel-shift)"
        advice = "Use a full-size raw file of a single shot."
    return UnsupportedRawError(f"the file has {what}, and rawkd denoises {KINDS_OF_SENSORS} only. {advice}")
