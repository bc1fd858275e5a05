"""The sRGB colour profile."""

from __future__ import annotations

from functools import cache

CREATION_TIME = slice(24, 36)
"""Date and time in the profile's header (ICC.1:2001-04, 6.1); set to zero so that equal pictures give equal files."""


@cache
def srgb_profile() -> bytes:
    """Return the ICC profile of sRGB (IEC 61966-2-1) that LittleCMS builds."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[CREATION_TIME] = bytes(12)
    return bytes(profile)
