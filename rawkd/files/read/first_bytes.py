"""Tell by its first bytes what a file is that is no raw file, and what to do."""

from __future__ import annotations

import codecs

CAMERAS_FILE = "Give the camera's own raw file"
ARRAY_TO_PHOTO_OF = f"{CAMERAS_FILE}, or pass the mosaic as an array to rawkd.photo_of in Python."
PHONE_RAW = "Switch on raw (DNG) in the camera app."
A_FILM = "a film"
A_PHOTO = "Give a raw photo."
UNPACK = "Unpack it and give the raw files in it."
NOT_RAW = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"RIFF", "a WebP picture or a film"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop picture"),
    (b"%PDF", "a PDF document"),
    (b"FOVb", "a Foveon raw (X3F)"),
)
"""First bytes of such files, and their names."""
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"})
AVIF_BRANDS = frozenset({b"avif", b"avis"})
FILM_BRANDS = (b"qt", b"iso", b"mp4", b"M4V", b"3g", b"avc1", b"dash", b"f4v", b"MSNV", b"XAVC")
"""Main brands of pictures and of films (the beginning is enough) in files of boxes (ISO/IEC 14496-12, section 4.3;
23008-12). Canon's raw files are such files, too, of the brand crx."""
OLD_FILMS = (b"moov", b"mdat", b"wide")
"""First boxes of QuickTime films that state no brand."""
FILMS = (b"\x1aE\xdf\xa3", b"\0\0\1\xba")
"""First bytes of Matroska and MPEG."""
ARRAYS = (
    (b"\x93NUMPY", "an array of NumPy"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SIMPLE  =", "a FITS file"),
    (b"MATLAB 5.0", "a file of MATLAB"),
    *((b"P5" + space, "a PGM picture") for space in (b" ", b"\t", b"\n", b"\r")),
)
"""First bytes and names of files that may hold a mosaic as plain numbers."""
TEXT_CONTROLS = b"\t\n\f\r\x1b"
"""Control codes that a text file may hold."""


def why_not_raw(head: bytes) -> str | None:
    """Return a message that says what the file is and what to do, or None if it may be a raw file.

    Parameters
    ----------
    head : the first 64 bytes of the file; fewer if it is shorter.
    """
    if head.startswith(b"PK\x03\x04"):
        return f"this is a ZIP archive (such as EIP or NPZ), not a raw file. {UNPACK}"
    array = next((what for start, what in ARRAYS if head.startswith(start)), None)
    if array is not None:
        return f"this is {array}, not a raw file. {ARRAY_TO_PHOTO_OF}"
    name = next((what for start, what in NOT_RAW if head.startswith(start)), None)
    if name is not None:
        return f"this is {name}, not a raw file. {CAMERAS_FILE}."
    if (media := _media_of(head)) is not None:
        return f"this is {media}, not a raw file. {A_PHOTO if media == A_FILM else PHONE_RAW}"
    if not _is_text(head):
        return None
    has_lines = b"\n" in head or b"\r" in head  # numbers of 8 bits can look like one long line
    return f"this is a text file, not a raw file. {f'{CAMERAS_FILE}.' if has_lines else ARRAY_TO_PHOTO_OF}"


def _media_of(head: bytes) -> str | None:
    """Return the kind of a phone's picture or a film by the start of its file, or None if it may be a raw file."""
    box, brand = head[4:8], head[8:12]
    if head.startswith(FILMS) or box in OLD_FILMS:
        return A_FILM
    if box != b"ftyp":
        return None
    compatible = {head[start : start + 4] for start in range(16, min(len(head), int.from_bytes(head[:4])), 4)}
    if brand in AVIF_BRANDS or (brand in HEIC_BRANDS and compatible & AVIF_BRANDS):
        return "an AVIF picture"
    if brand in HEIC_BRANDS:
        return "a HEIC picture"
    return A_FILM if brand.startswith(FILM_BRANDS) else None


def _is_text(head: bytes) -> bool:
    """Return whether the start of a file is UTF-8 without control codes, or UTF-16 with a byte-order mark."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # `head` may end inside a character
    except UnicodeDecodeError:
        return False
    return not any(byte < 32 and byte not in TEXT_CONTROLS for byte in head)
