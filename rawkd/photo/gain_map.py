"""A gain map: factors on a coarse grid by which pixels are multiplied when the photo is rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rawkd.photo.mosaic import FloatArray


@dataclass(frozen=True, eq=False)
class GainMap:
    """Gains on a grid of points, in pixels of the active area (phones use them to correct dark corners).

    Attributes
    ----------
    gains : (v, h) float32 gains at the points, finite, >= 0; interpolated bilinearly, constant beyond the outer points.
    point_rows, point_columns : (v,) and (h,) rows and columns of the points, rising; whole numbers are pixel centres.
    top, left, bottom, right : rectangle of pixels that the map applies to, without row `bottom` and column `right`; it
        may extend beyond the active area.
    row_pitch, column_pitch : step between the affected rows and columns, counted from `top` and `left`; 1 is every
        pixel, 2 is one site of the Bayer cell.
    colour : "R", "G" or "B" to apply the map to pixels of this colour only; None for all.
    after_demosaic : whether the file applies the map to the demosaiced picture (opcode list 3).
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
    after_demosaic: bool = False

    def cut(self, top: int, left: int) -> GainMap:
        """Return the map for a part of the active area that starts at this row and column."""
        return replace(
            self,
            point_rows=tuple(row - top for row in self.point_rows),
            point_columns=tuple(column - left for column in self.point_columns),
            top=self.top - top,
            left=self.left - left,
            bottom=self.bottom - top,
            right=self.right - left,
        )
