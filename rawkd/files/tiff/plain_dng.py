"""A mosaic as a plain DNG in memory, for a decoder that demosaics it.

It states no colour and black 0: the pixels are white-balanced already, and come back in the same units.
"""

from __future__ import annotations

import io

from rawkd.files.tiff.ifd import OutputIfd, ascii_text, integers, long, raw_bytes, short, srational, write_tiff
from rawkd.photo import CFAPattern, FrameArray

UNIT_MATRIX = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def plain_dng(frame: FrameArray, pattern: CFAPattern) -> bytes:
    """Return an uncompressed DNG of a mosaic.

    Parameters
    ----------
    frame : (H, W) uint16. pattern : CFA at its origin.
    """
    height, width = frame.shape
    side = pattern.side
    fields = (
        long(254, [0]),
        integers(256, [width]),
        integers(257, [height]),
        short(258, [16]),
        short(259, [1]),
        short(262, [32803]),
        ascii_text(271, "rawkd"),
        ascii_text(272, "mosaic"),
        short(277, [1]),
        integers(278, [height]),
        short(284, [1]),
        short(33421, [side, side]),
        raw_bytes(33422, bytes("RGB".index(colour) for colour in pattern.colours)),
        raw_bytes(50706, bytes((1, 4, 0, 0))),
        raw_bytes(50707, bytes((1, 1, 0, 0))),
        ascii_text(50708, "rawkd mosaic"),
        short(50714, [0]),
        short(50717, [65535]),
        srational(50721, UNIT_MATRIX),
        short(50778, [21]),
    )
    stream = io.BytesIO()
    write_tiff(stream, OutputIfd(fields, {}, [frame.astype("<u2", copy=False).tobytes()]))
    return stream.getvalue()
