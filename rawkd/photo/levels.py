"""Levels: what the integers of a raw file mean. All black levels and clipping levels that others need come from here.

A site's black level is the repeat pattern's plus its row's and its column's delta (BlackLevel, BlackLevelDeltaV and
BlackLevelDeltaH). Pixels are *signal* = (DN - black) / range_dn. Names with ``_dn`` count raw units of the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.photo.mosaic import CFAPattern, DoubleArray, FloatArray, FrameArray, Rect


@dataclass(frozen=True, eq=False)
class Levels:
    """What the integers of the file mean, over the active area.

    Attributes
    ----------
    black_dn : (rh, rw) float64, the black level's repeat pattern, anchored at the active area's origin
        (BlackLevel, BlackLevelRepeatDim).
    white_dn : the DN of signal 1 (WhiteLevel).
    saturation_dn : the DN at which the sensor clips, the lowest of all colours; at most white.
    bits : bits of the stored integers, 1..16.
    row_delta_dn, column_delta_dn : (H,) and (W,) added to the pattern (BlackLevelDeltaV, BlackLevelDeltaH), or None.
    site_saturation_dn : (2, 2) float64, the DN at which each site of the CFA cell clips, where colours differ; None
        where all clip at `saturation_dn`.
    mean_black_dn : mean black level of all sites, deltas included; NaN computes it. A part cut out of a photo keeps
        the whole photo's, so that its signal stays the same.

    Raises
    ------
    InputError: a black level, white and saturation contradict each other.
    """

    black_dn: DoubleArray
    white_dn: float
    saturation_dn: float
    bits: int
    row_delta_dn: DoubleArray | None = None
    column_delta_dn: DoubleArray | None = None
    site_saturation_dn: DoubleArray | None = None
    mean_black_dn: float = math.nan

    def __post_init__(self) -> None:
        if self.black_dn.ndim != 2 or not np.isfinite(self.black_dn).all():
            raise InputError(f"black levels of shape {self.black_dn.shape} are no finite repeat pattern")
        if not 1 <= self.bits <= 16:
            raise InputError(f"{self.bits} bits a sample, where 1 to 16 are supported")
        highest = float(self._black_of_cell(np.max).max())
        if not highest < self.white_dn <= 65535:
            raise InputError(f"white level {self.white_dn:g} does not lie between black {highest:g} and 65535")
        if not highest < self.saturation_dn <= self.white_dn:
            raise InputError(
                f"saturation {self.saturation_dn:g} does not lie between black {highest:g} and white {self.white_dn:g}"
            )
        if math.isnan(self.mean_black_dn):
            deltas = (delta for delta in (self.row_delta_dn, self.column_delta_dn) if delta is not None)
            mean = float(self.black_dn.mean()) + sum(float(delta.mean()) for delta in deltas)
            object.__setattr__(self, "mean_black_dn", mean)

    def black_map(self, height: int, width: int, top: int = 0, left: int = 0) -> DoubleArray:
        """Black level of the sites of a window of the active area, broadcastable to it."""
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
        """(2, 2) mean black level of each site of the CFA cell, the deltas of its rows and columns included."""
        return self._black_of_cell(np.mean)

    def _black_of_cell(self, of_all: Callable[[DoubleArray], float]) -> DoubleArray:
        """(2, 2) black of each CFA site: the pattern's, its rows' and its columns', each as `of_all` sums it up."""
        rh, rw = self.black_dn.shape
        pattern = np.tile(self.black_dn, (1 + rh % 2, 1 + rw % 2))
        black = np.array([[of_all(pattern[row::2, column::2]) for column in (0, 1)] for row in (0, 1)], np.float64)
        for delta, shape in ((self.row_delta_dn, (2, 1)), (self.column_delta_dn, (1, 2))):
            if delta is not None:
                black = black + np.reshape(
                    [of_all(delta[parity::2] if len(delta) > 1 else delta) for parity in (0, 1)], shape
                )
        return black

    @property
    def range_dn(self) -> float:
        """DN of one unit of signal: white minus the mean black level.

        One range serves all planes, so that signal ratios between planes are kept.
        """
        return self.white_dn - self.mean_black_dn

    def to_signal(self, frame: NDArray[np.unsignedinteger], top: int = 0, left: int = 0) -> FloatArray:
        """Signal of the active area's integers, or of a window of it at `top`, `left`; (H, W) float32, unclipped."""
        height, width = frame.shape
        out = np.empty((height, width), np.float32)
        step = 256
        for first in range(0, height, step):
            rows = slice(first, min(first + step, height))
            black = self.black_map(rows.stop - first, width, top + first, left).astype(np.float32)
            np.subtract(frame[rows], black, out=out[rows], dtype=np.float32)
        out *= np.float32(1 / self.range_dn)
        return out

    def to_dn(self, signal: FloatArray) -> FrameArray:
        """Integers of the signal, (H, W) uint16: the only place that rounds and clips. Every integer round-trips."""
        height, width = signal.shape
        out = np.empty((height, width), np.uint16)
        step = 256
        top_dn = float(2**16 - 1)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            dn = signal[rows] * np.float32(self.range_dn)
            dn += self.black_map(rows.stop - top, width, top).astype(np.float32)
            np.clip(np.rint(dn, out=dn), 0, top_dn, out=dn)
            out[rows] = dn
        return out

    @property
    def floor(self) -> float:
        """Signal of DN 0 at the site with the lowest black, where the file cuts noise off first."""
        return -float(self._black_of_cell(np.min).min()) / self.range_dn

    @property
    def saturation(self) -> float:
        """Lowest signal at which a site clips."""
        return float(self.site_saturation.min())

    @property
    def site_saturation(self) -> DoubleArray:
        """(2, 2) lowest signal at which each site of the CFA cell clips: at the site's highest black level."""
        clip_dn = self.saturation_dn if self.site_saturation_dn is None else self.site_saturation_dn
        return np.asarray((clip_dn - self._black_of_cell(np.max)) / self.range_dn)

    def plane_saturation(self, pattern: CFAPattern) -> DoubleArray:
        """(4,) the same of the planes R, Gr, Gb, B, for the CFA phase at the active area's origin."""
        saturation = np.empty(4)
        saturation[list(pattern.plane_of_site)] = self.site_saturation.ravel()
        return saturation

    def cut(self, rect: Rect) -> Levels:
        """The levels of the part `rect` of the active area: the repeat pattern starts at the part's own origin."""
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
        """The levels of the same signal in integers `factor` times finer."""
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
        )
