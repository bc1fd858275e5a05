"""A Bayer mosaic and what its numbers mean: colours, rectangles, levels.

Pixels are *signal* = (DN - black) / (white - black), float32 and unclipped: shadows go below 0. ``H, W`` are mosaic
pixels, ``h, w`` packed ones; planes are always R, Gr, Gb, B. Names with ``_dn`` count raw units of the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
FrameArray = NDArray[np.uint16]
PixelArray = NDArray[np.int64]
"""(n, 2) rows and columns."""


class CFAPattern(StrEnum):
    """Colours of the 2x2 Bayer cell at the origin of the active area, row by row."""

    RGGB = "RGGB"
    BGGR = "BGGR"
    GRBG = "GRBG"
    GBRG = "GBRG"

    def shifted(self, rows: int, columns: int) -> CFAPattern:
        """The pattern seen when the origin moves by `rows` and `columns` pixels."""
        return CFAPattern("".join(self[2 * ((r + rows) % 2) + (c + columns) % 2] for r in (0, 1) for c in (0, 1)))

    def transposed(self) -> CFAPattern:
        """The pattern of the transposed mosaic."""
        return CFAPattern(self[0] + self[2] + self[1] + self[3])

    @property
    def plane_of_site(self) -> tuple[int, int, int, int]:
        """Plane index (R, Gr, Gb, B = 0..3) of the sites (0,0), (0,1), (1,0), (1,1).

        Gr is the green that shares its row with red.
        """
        red_row = self.index("R") // 2
        planes = {"R": 0, "B": 3}
        return tuple(  # type: ignore[return-value]
            planes.get(colour, 1 if site // 2 == red_row else 2) for site, colour in enumerate(self.value)
        )


@dataclass(frozen=True)
class Rect:
    """A rectangle of pixels: the origin and the extent."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.top < 0 or self.left < 0 or self.height < 1 or self.width < 1:
            raise InputError(f"a rectangle of {self.height} x {self.width} pixels at ({self.top}, {self.left})")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an array of rows and columns."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def inside(self, height: int, width: int) -> bool:
        """Whether the rectangle lies within an image of `height` x `width`."""
        return self.top + self.height <= height and self.left + self.width <= width


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Signal of one Bayer mosaic.

    Attributes
    ----------
    data : (H, W) float32 signal, finite, C-contiguous; odd H and W are allowed.
    pattern : the CFA phase at data[0, 0].
    """

    data: FloatArray
    pattern: CFAPattern

    def __post_init__(self) -> None:
        if self.data.ndim != 2 or self.data.dtype != np.float32 or not self.data.flags.c_contiguous:
            raise InputError(f"a mosaic is a contiguous (H, W) float32 array, not {self.data.dtype} {self.data.shape}")
        if not np.isfinite(self.data.sum(dtype=np.float64)):
            raise InputError("the mosaic holds values that are not finite")


@dataclass(frozen=True, eq=False)
class Levels:
    """What the integers of the file mean, over the active area.

    Attributes
    ----------
    black_dn : (rh, rw) float64, the black level's repeat pattern, anchored at the active area's origin
        (BlackLevel, BlackLevelRepeatDim).
    white_dn : the DN of signal 1 (WhiteLevel).
    saturation_dn : the DN at which the sensor clips; at most the largest integer of the file.
    bits : bits of the stored integers, 1..16.
    row_delta_dn, column_delta_dn : (H,) and (W,) added to the pattern (BlackLevelDeltaV, BlackLevelDeltaH), or None.
    """

    black_dn: DoubleArray
    white_dn: float
    saturation_dn: float
    bits: int
    row_delta_dn: DoubleArray | None = None
    column_delta_dn: DoubleArray | None = None

    def __post_init__(self) -> None:
        if self.black_dn.ndim != 2 or not np.isfinite(self.black_dn).all():
            raise InputError(f"black levels of shape {self.black_dn.shape} are no finite repeat pattern")
        if not 1 <= self.bits <= 16:
            raise InputError(f"{self.bits} bits a sample, where 1 to 16 are supported")
        if not float(self.black_dn.max()) < self.white_dn <= 65535:
            raise InputError(
                f"white level {self.white_dn:g} does not lie between black {self.black_dn.max():g} and 65535"
            )

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
    def range_dn(self) -> float:
        """DN of one unit of signal: white minus the mean black level.

        One range serves all planes, so that signal ratios between planes are kept.
        """
        return self.white_dn - float(self.black_dn.mean())

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
        """Signal of DN 0 at the site with the lowest black: nothing below it can be in the file."""
        return -float(self.black_dn.min()) / self.range_dn

    @property
    def saturation(self) -> float:
        """Signal at which the sensor clips."""
        return (self.saturation_dn - float(self.black_dn.mean())) / self.range_dn

    def cut(self, rect: Rect) -> Levels:
        """The levels of the part `rect` of the active area: the repeat pattern starts at the part's own origin."""
        rows, columns = rect.slices
        return replace(
            self,
            black_dn=np.roll(self.black_dn, (-rect.top, -rect.left), axis=(0, 1)),
            row_delta_dn=None if self.row_delta_dn is None else self.row_delta_dn[rows],
            column_delta_dn=None if self.column_delta_dn is None else self.column_delta_dn[columns],
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
        )
