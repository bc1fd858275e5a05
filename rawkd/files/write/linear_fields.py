"""Build the fields of a linear (demosaiced) raw picture in a DNG.

Source: DNG specification 1.4, chapter 4 (LinearRaw). Readers tint a linear picture whose black level is not 0, and
ignore or misread one with margins (found by experiment), so it has neither.
"""

from __future__ import annotations

from rawkd.files.tiff.dng_tags import PHOTOMETRIC, PHOTOMETRIC_LINEAR
from rawkd.files.tiff.exif import merged
from rawkd.files.tiff.gain_opcodes import not_rendered
from rawkd.files.tiff.ifd import integers, short
from rawkd.files.tiff.opcodes import LIST_1, LIST_2
from rawkd.files.write.dng_fields import geometry, kept_fields, noise_reduction_applied
from rawkd.photo import RawPhoto, Rect, Tag

OF_LINEAR_PICTURES = frozenset({50738, 50780, 51022, 52525})
"""Kept fields of the raw picture that do not refer to a mosaic or to margins: anti-alias strength, best quality scale,
opcode list 3, gain table map."""


def linear_fields(photo: RawPhoto, white_dn: int, noise_reduction: float) -> tuple[Tag, ...]:
    """Return the fields of the raw picture's directory, without those that describe the storage of its pixels.

    It has no NoiseProfile: demosaicing mixes the noise of neighbouring pixels, which the tag cannot state.

    Parameters
    ----------
    white_dn : value of signal 1. noise_reduction : part of the noise that was removed, 0 none, 1 all.
    """
    area = photo.active_area
    own = (
        short(PHOTOMETRIC, [PHOTOMETRIC_LINEAR]),
        short(50713, [1, 1]),
        short(50714, [0, 0, 0]),
        integers(50717, [white_dn] * 3),
        *geometry(photo, Rect(0, 0, area.height, area.width)),
    )
    kept = (tag for tag in kept_fields(photo, strip_location=False) if tag.number in OF_LINEAR_PICTURES)
    return merged(own, noise_reduction_applied(photo, noise_reduction), kept)


def linear_warnings(photo: RawPhoto) -> tuple[str, ...]:
    """Return a warning if the mosaic has corrections that were not applied, since a linear DNG cannot state them."""
    names = not_rendered({tag.number: tag for tag in photo.tags if tag.number in (LIST_1, LIST_2)})
    if not names:
        return ()
    return (f"not applied to the linear DNG: {', '.join(names)}. Write a DNG without --linear to keep them.",)
