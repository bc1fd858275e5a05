"""The raw frame that a DNG of each kind of sensor must have, so that all readers show the right picture.

Found by experiment with LibRaw 0.20 and 0.22, darktable 4.2, RawTherapee 5.9 and exiftool 12.57. X-Trans: LibRaw
misreads the colours if the active area does not begin at a multiple of 6. Monochrome: darktable ignores where the
active area begins.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rawkd.errors import OutputError
from rawkd.files.tiff.dng_tags import MIN_PX
from rawkd.photo import RawPhoto, Rect

OF_THE_FRAME = {50830: "masked areas", 51008: "opcode list 1", 52536: "the masked sub-area"}
"""Fields that count from the frame's origin."""
RAWTHERAPEE_CROPS = frozenset(
    {"X-T1", "X-T2", "X-T3", "X-T4", "X-T20", "X-T30", "X-PRO2", "X-PRO3", "X100F", "X100V", "X-H1", "X-E3", "X-E4"}
    | {"X-S10"}
)
"""Cameras whose frames RawTherapee 5.9 crops by a table of its own, which holds for the full frame of the camera."""


def refuse_unstorable(photo: RawPhoto) -> None:
    """Refuse a photo that a DNG cannot hold.

    Raises
    ------
    OutputError: if a black level lies below 0, white is no whole number, the user crop extends beyond the default
        crop, or a side has fewer than 22 pixels, which LibRaw does not read.
    """
    height, width = photo.active_area.height, photo.active_area.width
    if min(height, width) < MIN_PX:
        raise OutputError(
            f"a picture of {width} x {height} pixels is smaller than the {MIN_PX} that LibRaw requires, so that no"
            " program could read its DNG. Write a larger one."
        )
    crop, user = photo.default_crop, photo.shown
    if (
        min(user.top - crop.top, user.left - crop.left) < 0
        or user.top + user.height > crop.top + crop.height
        or user.left + user.width > crop.left + crop.width
    ):
        raise OutputError(f"a DNG cannot hold the user crop {user} beyond the default crop {crop}. Give one inside it.")
    black, white = float(photo.levels.black_dn.min()), photo.levels.white_dn
    if black < 0:
        raise OutputError(
            f"a DNG cannot hold a black level of {black:g}. Add a number to all pixels, to black and to white, so that"
            " none is below 0."
        )
    if white != round(white):
        raise OutputError(f"a DNG cannot hold a white level of {white:g}. Give a whole number as white.")


def frame_to_store(photo: RawPhoto) -> RawPhoto:
    """Return the photo with the frame to write: itself for Bayer.

    X-Trans keeps its margins but for the first rows and columns, up to 5, so that the active area begins at a multiple
    of 6. Monochrome is cut to its active area. Fields that count from the origin of a cut frame are left out;
    `frame_warnings` names them.
    """
    area = photo.active_area
    if photo.pattern.kind == "mono":
        if area == Rect(0, 0, *photo.frame.shape):
            return photo
        cut = photo.cut(Rect(0, 0, area.height, area.width), photo.default_crop)
        return _without_fields_of_frame(replace(cut, user_crop=photo.user_crop))
    side = photo.pattern.side
    top, left = area.top % side, area.left % side
    if photo.pattern.kind == "bayer" or not (top or left):
        return photo
    moved = Rect(area.top - top, area.left - left, area.height, area.width)
    return _without_fields_of_frame(
        replace(photo, frame=np.ascontiguousarray(photo.frame[top:, left:]), active_area=moved)
    )


def _without_fields_of_frame(photo: RawPhoto) -> RawPhoto:
    return replace(photo, tags=tuple(tag for tag in photo.tags if tag.number not in OF_THE_FRAME))


def frame_warnings(source: RawPhoto, stored: RawPhoto) -> tuple[str, ...]:
    """Return warnings about the fields that a cut frame lost, and about wrong colours in RawTherapee.

    RawTherapee cuts an X-Trans frame without its margins again.
    """
    kept = {tag.number for tag in stored.tags}
    lost = [OF_THE_FRAME[tag.number] for tag in source.tags if tag.number in OF_THE_FRAME and tag.number not in kept]
    warnings: tuple[str, ...] = ()
    if lost:
        warnings = (
            f"not copied to the DNG: {', '.join(lost)}. They refer to the whole frame, whose margins are cut. Keep the"
            " original file.",
        )
    camera = source.capture
    in_table = camera.make.upper().startswith("FUJI") and camera.model.strip().upper() in RAWTHERAPEE_CROPS
    has_margins = stored.frame.shape == source.frame.shape and stored.active_area.top + stored.active_area.left > 0
    if source.pattern.kind != "xtrans" or not in_table or has_margins:
        return warnings
    name = camera.model.strip()
    return (
        *warnings,
        f"RawTherapee 5.9 may show wrong colours: it crops photos of the {name} itself, and this one lacks the camera's"
        " margins. Denoise the camera's own RAF file, or use another editor.",
    )
