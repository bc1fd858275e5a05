"""A region of the picture that the user sees, found again on the sensor."""

from __future__ import annotations

from rawkd.errors import UsageError
from rawkd.photo import RawPhoto, Rect


def part_of(photo: RawPhoto, region: Rect, context_px: int, grid_px: int = 1) -> RawPhoto:
    """The region of the upright picture as a photo of its own, with as much around it as there is of `context_px`.

    It begins at a multiple of `grid_px` of the sensor, where what pools cells of that size has its cells in the whole
    picture, too.

    Raises
    ------
    UsageError: if the region leaves the picture.
    """
    shown = sensor_rect(region, photo)
    area = photo.active_area
    top, left = (max(edge - context_px, 0) // grid_px * grid_px for edge in (shown.top, shown.left))
    bottom = min(shown.top + shown.height + context_px, area.height)
    right = min(shown.left + shown.width + context_px, area.width)
    return photo.cut(Rect(top, left, bottom - top, right - left), shown)


def sensor_rect(region: Rect, photo: RawPhoto) -> Rect:
    """A region of the upright picture (EXIF orientation undone, default crop applied) in pixels of the active area.

    Raises
    ------
    UsageError: if the region leaves the picture.
    """
    crop, turned = photo.default_crop, photo.orientation >= 5
    height, width = (crop.width, crop.height) if turned else (crop.height, crop.width)
    if not region.inside(height, width):
        raise UsageError(
            f"the crop {region.left},{region.top},{region.width},{region.height} leaves the picture of"
            f" {width} x {height} pixels"
        )
    top = height - region.top - region.height if photo.orientation in {3, 4, 7, 8} else region.top
    left = width - region.left - region.width if photo.orientation in {2, 3, 6, 7} else region.left
    if turned:
        return Rect(crop.top + left, crop.left + top, region.width, region.height)
    return Rect(crop.top + top, crop.left + left, region.height, region.width)
