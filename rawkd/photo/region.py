"""Map a region of the upright picture to pixels of the sensor."""

from __future__ import annotations

from rawkd.errors import UsageError
from rawkd.photo import RawPhoto, Rect


def part_of(photo: RawPhoto, region: Rect, context_px: int, grid_px: int = 1) -> RawPhoto:
    """Return a region of the upright picture as a photo, with up to `context_px` pixels around it.

    Parameters
    ----------
    region : pixels of the upright picture.
    context_px : pixels to add on each side; fewer at the edges of the active area.
    grid_px : the cut starts and ends at multiples of this many pixels of the active area, or at its edge, so that
        pooling cells and blocks of this size are those of the whole picture.

    Raises
    ------
    UsageError: if the region extends beyond the picture.
    """
    shown = sensor_rect(region, photo)
    area = photo.active_area
    top, left = (max(edge - context_px, 0) // grid_px * grid_px for edge in (shown.top, shown.left))
    bottom = min(-(-(shown.top + shown.height + context_px) // grid_px) * grid_px, area.height)
    right = min(-(-(shown.left + shown.width + context_px) // grid_px) * grid_px, area.width)
    return photo.cut(Rect(top, left, bottom - top, right - left), shown)


def sensor_rect(region: Rect, photo: RawPhoto) -> Rect:
    """Convert a region of the upright picture (orientation and default crop applied) to pixels of the active area.

    Raises
    ------
    UsageError: if the region extends beyond the picture.
    """
    crop, (height, width) = photo.default_crop, photo.upright_size
    if not region.inside(height, width):
        raise UsageError(
            f"the crop {region.left},{region.top},{region.width},{region.height} extends beyond the picture of"
            f" {width} x {height} pixels. Give a crop inside it."
        )
    top = height - region.top - region.height if photo.orientation in {3, 4, 7, 8} else region.top
    left = width - region.left - region.width if photo.orientation in {2, 3, 6, 7} else region.left
    if photo.orientation >= 5:
        return Rect(crop.top + left, crop.left + top, region.width, region.height)
    return Rect(crop.top + top, crop.left + left, region.height, region.width)
