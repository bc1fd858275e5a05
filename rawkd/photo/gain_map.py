"""A gain map: how much brighter each sample has to be shown, given at a few points of the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rawkd.photo.mosaic import FloatArray


@dataclass(frozen=True, eq=False)
class GainMap:
    """Gains of a grid of points, in pixels of the active area (phones: the lens is darker in the corners).

    Attributes
    ----------
    gains : (v, h) float32, finite, not negative, at the points; between them bilinear, beyond them the nearest.
    point_rows, point_columns : (v,) and (h,) rows and columns of the points, rising; whole numbers are pixel centres.
    top, left, bottom, right : the pixels that it holds for, `bottom` and `right` excluded; may leave the active area.
    row_pitch, column_pitch : every so manyth row and column from `top` and `left`, 1 for all, 2 for one Bayer site.
    colour : "R", "G" or "B" for samples of this colour only; None for all.
    """

    gains: FloatArray
    point_rows: tuple[float, ...]
    point_columns: tuple[float, ...]
    top: int
    left: int
    bottom: int
    right: int
    row_pitch: int = 1
    column_pitch: int = 1
    colour: str | None = None

    def cut(self, top: int, left: int) -> GainMap:
        """The same map for a part of the active area that begins at this row and column."""
        return replace(
            self,
            point_rows=tuple(row - top for row in self.point_rows),
            point_columns=tuple(column - left for column in self.point_columns),
            top=self.top - top,
            left=self.left - left,
            bottom=self.bottom - top,
            right=self.right - left,
        )
