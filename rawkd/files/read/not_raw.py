"""Say why a file cannot be read: it is no raw file, or LibRaw refuses it or what it holds."""

from __future__ import annotations

import codecs
from typing import Any

from rawkd.errors import InputError, UnsupportedRawError
from rawkd.files.sanity import COPY_AGAIN

KINDS_OF_SENSORS = "Bayer, X-Trans and monochrome raws"
NOT_RAW = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a WebP picture or a film"),
    (b"8BPS", "a Photoshop picture"),
    (b"%PDF", "a PDF document"),
    (b"FOVb", "a Foveon raw (X3F)"),
)
"""First bytes of such files, and their names."""
OUT_OF_MEMORY = ("LibRawTooBigError", "LibRawUnsufficientMemoryError", "MemoryError")
"""Errors of the decoder that mean that a frame did not fit into memory."""


def why_not_raw(head: bytes) -> str | None:
    """Return a message that says what the file is and what to do, or None if it may be a raw file.

    Parameters
    ----------
    head : the first 64 bytes of the file; fewer if it is shorter.
    """
    name = next((what for start, what in NOT_RAW if head.startswith(start)), None)
    if name is None and _is_text(head):
        name = "a text file"
    return None if name is None else f"this is {name}, not a raw file. Give the camera's own raw file."


def _is_text(head: bytes) -> bool:
    """Return whether the start of a file is UTF-8 without control codes, or UTF-16 with a byte-order mark."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # `head` may end inside a character
    except UnicodeDecodeError:
        return False
    return not any(byte < 9 for byte in head)


def refusal(header: dict[str, Any]) -> InputError:
    """Return the error for an answer of the decoder that names one of LibRaw's."""
    kind = header["error"]
    if kind == "size":
        size = f"{header['width']} x {header['height']} pixels"
        return InputError(
            f"the file is truncated or damaged: it claims {size}, but is too short for them. {COPY_AGAIN}"
        )
    if kind in ("LibRawFileUnsupportedError", "NotImplementedError"):
        return UnknownFormatError(
            "this is not a raw file that LibRaw can read, or it is damaged. Give the camera's own raw file."
        )
    if kind in OUT_OF_MEMORY:
        return InputError(f"the file is damaged: it claims more pixels than fit into memory. {COPY_AGAIN}")
    return InputError(f"the raw data are truncated or damaged. {COPY_AGAIN}")


def unsupported(header: dict[str, Any]) -> UnsupportedRawError:
    """Return the error for an answer of the decoder that has no frame."""
    what = "a mosaic that is not Bayer or X-Trans (Super-CCD or similar)"
    if header["kind"] == "stack":
        what = "three or four colours at every pixel (linear, sRAW, Foveon, YRGB or pixel-shift)"
    return UnsupportedRawError(
        f"the file has {what}, and rawkd denoises {KINDS_OF_SENSORS} only. Use another raw file."
    )


class UnknownFormatError(InputError):
    """LibRaw does not recognise the file; the caller may replace this by a more precise error."""
