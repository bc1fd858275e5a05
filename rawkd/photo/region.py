"""Find the pixels of the sensor that a region of the upright picture shows.

The upright picture is what is shown of the photo (`RawPhoto.shown`), turned by its orientation. Its pixels are square:
if the sensor's are not, it has more rows or columns than the sensor, and each lies between two of the sensor's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import UsageError
from rawkd.photo import FloatArray, RawPhoto, Rect


@dataclass(frozen=True, eq=False)
class Lines:
    """Rows or columns of a picture, each at or between two lines of another picture.

    Attributes
    ----------
    start, stop : the lines of the other picture that are needed.
    before : (n,) int64, the last line at or before each, counted from `start`.
    share : (n,) float32, 0 <= share < 1, the weight of the line after it.
    """

    start: int
    stop: int
    before: NDArray[np.int64]
    share: FloatArray

    @classmethod
    def of(cls, first: int, count: int, size_px: int, lines: int) -> Lines:
        """Return lines `first` to `first` + `count` of a picture of `size_px` lines that shows `lines` of another.

        Both pictures have the same edges; beyond the outermost centres the outermost line goes on.
        """
        places = (np.arange(first, first + count) + 0.5) * (lines / size_px) - 0.5
        places = np.clip(places, 0, lines - 1)
        before = np.floor(places).astype(np.int64)
        share = (places - before).astype(np.float32)
        start = int(before[0])
        return cls(start, int(before[-1]) + 1 + bool(share[-1] > 0), before - start, share)


@dataclass(frozen=True, eq=False)
class Window:
    """A region of the upright picture.

    Attributes
    ----------
    rect : the pixels of the active area that it needs, in sensor orientation.
    rows, columns : its lines, among those of `rect` turned upright.
    """

    rect: Rect
    rows: Lines
    columns: Lines


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
    """Return the pixels of the active area that a region of the upright picture needs.

    Raises
    ------
    UsageError: if the region extends beyond the picture.
    """
    return window_of(photo, region).rect


def window_of(photo: RawPhoto, region: Rect | None = None) -> Window:
    """Return a region of the upright picture; None is all of it.

    Raises
    ------
    UsageError: if the region extends beyond the picture.
    """
    height, width = photo.upright_size
    region = region or Rect(0, 0, height, width)
    if not region.inside(height, width):
        raise UsageError(
            f"the crop {region.left},{region.top},{region.width},{region.height} extends beyond the picture of"
            f" {width} x {height} pixels. Give a crop inside it."
        )
    shown = photo.shown
    down, across = (shown.height, shown.width) if photo.orientation < 5 else (shown.width, shown.height)
    rows = Lines.of(region.top, region.height, height, down)
    columns = Lines.of(region.left, region.width, width, across)
    top, left = rows.start, columns.start
    if photo.orientation in {3, 4, 7, 8}:
        top = down - rows.stop
    if photo.orientation in {2, 3, 6, 7}:
        left = across - columns.stop
    size = rows.stop - rows.start, columns.stop - columns.start
    if photo.orientation >= 5:
        top, left, size = left, top, size[::-1]
    return Window(Rect(shown.top + top, shown.left + left, *size), rows, columns)
