"""The colour profile that says sRGB."""

from __future__ import annotations

from functools import cache

CREATION_TIME = slice(24, 36)
"""Date and time in the header of a profile (ICC.1:2001-04, 6.1): zeroed, so that equal pictures are equal files."""


@cache
def srgb_profile() -> bytes:
    """ICC profile of sRGB (IEC 61966-2-1), as LittleCMS builds it."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[CREATION_TIME] = bytes(12)
    return bytes(profile)
