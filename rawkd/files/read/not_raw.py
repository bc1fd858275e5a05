"""Recognise common files that are not raw files by their first bytes."""

from __future__ import annotations

import codecs

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
