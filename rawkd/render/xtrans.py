"""Demosaic X-Trans mosaics by a function that takes integers, which LibRaw in the decoder's process is.

The mosaic is white-balanced first, as that method assumes, and stored with an offset, so that signal below black comes
back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import CFAPattern, FloatArray, FrameArray, GainMap, Mosaic, RawPhoto, Rect
from rawkd.render.blocks import planes_in
from rawkd.sensor.cfa import padded, unpack

Markesteijn = Callable[[FrameArray, CFAPattern, int], FrameArray]
"""Takes a white-balanced (H, W) uint16 mosaic, its pattern and the number of passes; returns (H, W, 3) uint16."""
Balance = Callable[[FloatArray, FloatArray | None], FloatArray]
LEAST_PX = 512
"""Smallest side that LibRaw demosaics; smaller mosaics are padded."""
HALO_PX = 18
"""Pixels beyond the rectangle that are demosaiced with it: LibRaw interpolates the outermost 8 plainly, and a pixel
depends on about as many more (our choice)."""
OFFSET = 2048
"""Stored value of signal 0 (our choice)."""
ROWS = 128


@dataclass(frozen=True, eq=False)
class DemosaicedXTrans:
    """White-balanced camera colours of a rectangle of the active area.

    Attributes
    ----------
    stored : (H, W, 3) uint16. unit : stored steps of signal 1.
    """

    stored: FrameArray
    unit: float

    def strips(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield slices of rows and their white-balanced signal, (3, rows, W) float32."""
        for top in range(0, len(self.stored), ROWS):
            rows = slice(top, min(top + ROWS, len(self.stored)))
            signal = np.moveaxis(self.stored[rows], -1, 0).astype(np.float32)
            signal -= OFFSET
            signal *= np.float32(1 / self.unit)
            yield rows, signal


def demosaic_xtrans(
    photo: RawPhoto,
    mosaic: Mosaic | None,
    rect: Rect,
    balance: Balance,
    markesteijn: Markesteijn | None,
    passes: int,
    *,
    maps: Sequence[GainMap] | None = None,
    threads: int,
) -> DemosaicedXTrans:
    """Demosaic a rectangle of an X-Trans photo's active area.

    Parameters
    ----------
    mosaic : signal to use instead of the photo's integers. balance : takes (36, h, w) planes of signal and their gain
        maps, and returns white-balanced planes. maps : gain maps to apply; None for all of the photo's.

    Raises
    ------
    UsageError: if there is no function to demosaic with.
    """
    if markesteijn is None:
        raise UsageError("an X-Trans photo is demosaiced by LibRaw: give `markesteijn`, such as Decoder.demosaic.")
    area = photo.active_area
    top, left = max(rect.top - HALO_PX, 0), max(rect.left - HALO_PX, 0)
    bottom = min(rect.top + rect.height + HALO_PX, area.height)
    right = min(rect.left + rect.width + HALO_PX, area.width)
    balanced = np.empty((bottom - top, right - left), np.float32)

    def fill(first: int) -> None:
        part = Rect(first, left, min(ROWS, bottom - first), right - left)
        planes, gains, inner = planes_in(photo, mosaic, part, 0, maps)
        balanced[first - top : first - top + part.height] = unpack(balance(planes, gains))[inner.slices]

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, range(top, bottom, ROWS)):
            pass
    pattern = photo.pattern.shifted(top, left)
    rows, columns = _padding(bottom - top), _padding(right - left)
    unit = _unit(photo, balance, photo.gain_maps if maps is None else maps)
    balanced *= np.float32(unit)
    balanced += OFFSET
    np.clip(np.rint(balanced, out=balanced), 0, np.iinfo(np.uint16).max, out=balanced)
    frame = padded(balanced, pattern, rows, columns).astype(np.uint16)
    rgb = markesteijn(frame, pattern.shifted(-rows[0], -columns[0]), passes)
    inside = Rect(rows[0] + rect.top - top, columns[0] + rect.left - left, rect.height, rect.width)
    return DemosaicedXTrans(rgb[inside.slices], unit)


def _unit(photo: RawPhoto, balance: Balance, maps: Sequence[GainMap]) -> float:
    """Return the stored steps of signal 1: as many as white and DN 0 allow in every part of the photo.

    It must not depend on the part, because LibRaw chooses between directions by the lightness of stored values.
    """
    ends = np.array([photo.levels.floor, 1.0], np.float32)
    planes = balance(np.broadcast_to(ends, (photo.pattern.side**2, 1, 2)).copy(), None)
    peak = float(np.prod([one.gains.max(initial=1.0) for one in maps]))
    highest, lowest = peak * float(planes.max()), peak * max(-float(planes.min()), 1e-6)
    return min((np.iinfo(np.uint16).max - OFFSET) / highest, OFFSET / lowest)


def _padding(length: int) -> tuple[int, int]:
    """Return how many pixels to reflect before and after, so that LibRaw treats no pixel of the picture as an edge."""
    return HALO_PX, max(HALO_PX, LEAST_PX - length - HALO_PX)
