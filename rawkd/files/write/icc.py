"""The colour profiles of pictures: sRGB, and grey with the same curve."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from numpy.typing import NDArray

CREATION_TIME = slice(24, 36)
"""Date and time in the profile's header (ICC.1:2001-04, 6.1); set to zero so that equal pictures give equal files."""
CURVE_POINTS = 1024
"""Points of the curve; between them it is a line (our choice)."""
D50 = struct.pack(">3i", 63190, 65536, 54061)
"""White of the profile connection space, X, Y, Z in units of 1/65536 (ICC.1:2001-04, 6.1)."""


def profile_of(picture: NDArray[Any]) -> bytes:
    """Return the profile of a picture: grey for (H, W), sRGB for (H, W, 3)."""
    return grey_profile() if picture.ndim == 2 else srgb_profile()


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB (IEC 61966-2-1) that LittleCMS builds."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[CREATION_TIME] = bytes(12)
    return bytes(profile)


@cache
def grey_profile() -> bytes:
    """Return an ICC profile of grey with the curve of sRGB (ICC.1:2001-04, 6.3.2, monochrome display profile)."""
    import numpy as np

    encoded = np.linspace(0, 1, CURVE_POINTS)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    text = b"Grey with the curve of sRGB\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67),
        b"cprt": b"text" + bytes(4) + b"CC0\0",
        b"wtpt": b"XYZ " + bytes(4) + D50,
        b"kTRC": b"curv" + bytes(4) + struct.pack(">I", CURVE_POINTS) + np.rint(linear * 65535).astype(">u2").tobytes(),
    }
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x02100000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp"
    return (header + bytes(28) + D50).ljust(128, b"\0") + table + body
