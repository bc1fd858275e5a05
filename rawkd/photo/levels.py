"""Black, white and clipping levels of a raw photo; the only source of these numbers in rawkd.

A pixel's black level is the sum of the repeat pattern, the delta of its row and the delta of its column (BlackLevel,
BlackLevelDeltaV, BlackLevelDeltaH). Pixels are *signal* = (DN - black) / range_dn. Names that end in ``_dn`` are in raw
units of the file (DN).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.photo.cfa import CFAPattern
from rawkd.photo.mosaic import DoubleArray, FloatArray, FrameArray, Rect

STRIP_ROWS = 48
"""Rows that are converted at a time, so that they stay in the cache."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Levels of the active area: they convert the file's integers to signal and back.

    Attributes
    ----------
    black_dn : (rh, rw) float64, repeat pattern of the black level, anchored at the active area's origin (BlackLevel,
        BlackLevelRepeatDim).
    white_dn : DN of signal 1 (WhiteLevel).
    saturation_dn : lowest DN at which any colour clips; at most white.
    bits : bits of the stored integers, 1..16.
    row_delta_dn, column_delta_dn : (H,) and (W,), added to the pattern (BlackLevelDeltaV, BlackLevelDeltaH), or None.
    site_saturation_dn : (side, side) float64, DN at which each site of the CFA cell clips, where colours differ; None
        where all clip at `saturation_dn`.
    mean_black_dn : mean black level of all pixels, deltas included; NaN computes it. A part cut out of a photo keeps
        the value of the whole photo, so that its signal does not change.
    cell_side : side of the CFA's cell in pixels (`CFAPattern.side`).

    Raises
    ------
    InputError: if black, white and saturation contradict each other.
    """

    black_dn: DoubleArray
    white_dn: float
    saturation_dn: float
    bits: int
    row_delta_dn: DoubleArray | None = None
    column_delta_dn: DoubleArray | None = None
    site_saturation_dn: DoubleArray | None = None
    mean_black_dn: float = math.nan
    cell_side: int = 2

    def __post_init__(self) -> None:
        if self.black_dn.ndim != 2 or not np.isfinite(self.black_dn).all():
            raise InputError(f"the black levels of shape {self.black_dn.shape} are not finite or not two-dimensional")
        if not 1 <= self.bits <= 16:
            raise InputError(f"{self.bits} bits per pixel are not supported, only 1 to 16")
        highest = float(self._black_of_cell(np.max).max())
        if not highest < self.white_dn <= 65535:
            raise InputError(f"the white level {self.white_dn:g} is not between black {highest:g} and 65535")
        if not highest < self.saturation_dn <= self.white_dn:
            raise InputError(
                f"the saturation {self.saturation_dn:g} is not between black {highest:g} and white {self.white_dn:g}"
            )
        if math.isnan(self.mean_black_dn):
            deltas = (delta for delta in (self.row_delta_dn, self.column_delta_dn) if delta is not None)
            mean = float(self.black_dn.mean()) + sum(float(delta.mean()) for delta in deltas)
            object.__setattr__(self, "mean_black_dn", mean)

    def black_map(self, height: int, width: int, top: int = 0, left: int = 0) -> DoubleArray:
        """Return the black level of each pixel in a window of the active area, broadcastable to (height, width)."""
        rh, rw = self.black_dn.shape
        if self.row_delta_dn is None and self.column_delta_dn is None and rh * rw == 1:
            return self.black_dn
        rows, columns = (np.arange(height) + top) % rh, (np.arange(width) + left) % rw
        black: DoubleArray = self.black_dn[:, columns][rows]
        if self.row_delta_dn is not None:
            black = black + self.row_delta_dn[top : top + height, None]
        if self.column_delta_dn is not None:
            black = black + self.column_delta_dn[None, left : left + width]
        return black

    @property
    def effective_black_dn(self) -> DoubleArray:
        """(side, side) mean black level of each site of the CFA cell, including the deltas of its rows and columns."""
        return self._black_of_cell(np.mean)

    def _black_of_cell(self, of_all: Callable[[DoubleArray], float]) -> DoubleArray:
        """Return the (side, side) black of each CFA site: pattern and deltas, each reduced by `of_all`."""
        side, (rh, rw) = self.cell_side, self.black_dn.shape
        pattern = np.tile(self.black_dn, (math.lcm(rh, side) // rh, math.lcm(rw, side) // rw))
        sites = range(side)
        black = np.array([[of_all(pattern[row::side, column::side]) for column in sites] for row in sites], np.float64)
        for delta, shape in ((self.row_delta_dn, (side, 1)), (self.column_delta_dn, (1, side))):
            if delta is not None:
                black = black + np.reshape(
                    [of_all(delta[site::side] if len(delta) > site else delta) for site in sites], shape
                )
        return black

    @property
    def range_dn(self) -> float:
        """DN per unit of signal: white minus the mean black level.

        All planes share one range, so that signal ratios between planes are kept.
        """
        return self.white_dn - self.mean_black_dn

    def to_signal(self, frame: NDArray[np.unsignedinteger], top: int = 0, left: int = 0) -> FloatArray:
        """Convert integers of the active area, or of a window at `top`, `left`, to (H, W) float32 signal, unclipped."""
        height, width = frame.shape
        out = np.empty((height, width), np.float32)
        for first in range(0, height, STRIP_ROWS):
            rows = slice(first, min(first + STRIP_ROWS, height))
            signal = out[rows]
            signal[...] = frame[rows]
            signal -= self.black_map(rows.stop - first, width, top + first, left).astype(np.float32)
            signal *= np.float32(1 / self.range_dn)
        return out

    def to_dn(self, signal: FloatArray) -> FrameArray:
        """Convert (H, W) signal to uint16 integers; every integer round-trips. Nothing else rounds or clips pixels."""
        height, width = signal.shape
        out = np.empty((height, width), np.uint16)
        top_dn = float(2**16 - 1)
        for top in range(0, height, STRIP_ROWS):
            rows = slice(top, min(top + STRIP_ROWS, height))
            dn = signal[rows] * np.float32(self.range_dn)
            dn += self.black_map(rows.stop - top, width, top).astype(np.float32)
            np.clip(np.rint(dn, out=dn), 0, top_dn, out=dn)
            out[rows] = dn
        return out

    @property
    def floor(self) -> float:
        """Signal of DN 0 at the site with the lowest black, where the file clips noise first."""
        return -float(self._black_of_cell(np.min).min()) / self.range_dn

    @property
    def saturation(self) -> float:
        """Lowest signal at which a site clips."""
        return float(self.site_saturation.min())

    @property
    def site_saturation(self) -> DoubleArray:
        """(side, side) lowest signal at which each site of the CFA cell clips: at the site's highest black level."""
        clip_dn = self.saturation_dn if self.site_saturation_dn is None else self.site_saturation_dn
        return np.asarray((clip_dn - self._black_of_cell(np.max)) / self.range_dn)

    def plane_saturation(self, pattern: CFAPattern) -> DoubleArray:
        """Return the (classes,) lowest clipping signal of each class (R, Gr, Gb, B of Bayer).

        Parameters
        ----------
        pattern : phase at the origin.
        """
        saturation = np.full(len(pattern.classes), np.inf)
        np.minimum.at(saturation, pattern.class_of_site.ravel(), self.site_saturation.ravel())
        return saturation

    def cut(self, rect: Rect) -> Levels:
        """Return the levels of the part `rect` of the active area; the repeat pattern starts at the part's origin."""
        rows, columns = rect.slices
        return replace(
            self,
            black_dn=np.roll(self.black_dn, (-rect.top, -rect.left), axis=(0, 1)),
            row_delta_dn=None if self.row_delta_dn is None else self.row_delta_dn[rows],
            column_delta_dn=None if self.column_delta_dn is None else self.column_delta_dn[columns],
            site_saturation_dn=None
            if self.site_saturation_dn is None
            else np.roll(self.site_saturation_dn, (-rect.top, -rect.left), axis=(0, 1)),
        )

    def scaled(self, factor: int) -> Levels:
        """Return the levels for the same signal when all integers are multiplied by `factor`."""
        extra = int(np.ceil(np.log2(factor)))
        return Levels(
            black_dn=self.black_dn * factor,
            white_dn=self.white_dn * factor,
            saturation_dn=self.saturation_dn * factor,
            bits=self.bits + extra,
            row_delta_dn=None if self.row_delta_dn is None else self.row_delta_dn * factor,
            column_delta_dn=None if self.column_delta_dn is None else self.column_delta_dn * factor,
            site_saturation_dn=None if self.site_saturation_dn is None else self.site_saturation_dn * factor,
            mean_black_dn=self.mean_black_dn * factor,
            cell_side=self.cell_side,
        )
