"""Demosaic X-Trans mosaics by a function that takes integers, which LibRaw in the decoder's process is.

The mosaic is white-balanced first, as that method assumes, and roots of the signal are stored with an offset, so that
signal below black comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import CFAPattern, FloatArray, FrameArray, GainMap, Mosaic, RawPhoto, Rect
from rawkd.render.blocks import planes_in
from rawkd.render.roots import to_roots, to_signal
from rawkd.sensor.cfa import padded, unpack

Markesteijn = Callable[[FrameArray, CFAPattern, int], FrameArray]
"""Takes a white-balanced (H, W) uint16 mosaic, its pattern and the number of passes; returns (H, W, 3) uint16."""
Balance = Callable[[FloatArray, FloatArray | None], FloatArray]
LEAST_PX = 512
"""Smallest side that LibRaw demosaics; smaller mosaics are padded."""
HALO_PX = 18
"""Pixels beyond the rectangle that are demosaiced with it: LibRaw interpolates the outermost 8 plainly, and a pixel
depends on about as many more (our choice)."""
HIGHEST = np.iinfo(np.uint16).max
ROWS = 128


@dataclass(frozen=True)
class _Scale:
    """How roots of white-balanced signal are stored as integers.

    It must not depend on the part of a photo, because LibRaw chooses between directions by the lightness of stored
    values.

    Attributes
    ----------
    offset : stored value of root 0. unit : stored steps of root 1.
    """

    offset: np.float32
    unit: np.float32

    @classmethod
    def of(cls, photo: RawPhoto, balance: Balance, maps: Sequence[GainMap]) -> _Scale:
        """Return the scale that has room for the smallest integer and for white in every part of the photo."""
        ends = np.array([photo.levels.floor, 1.0], np.float32)
        planes = balance(np.broadcast_to(ends, (photo.pattern.side**2, 1, 2)).copy(), None)
        planes *= np.float32(np.prod([one.gains.max(initial=1.0) for one in maps]))
        lowest, highest = to_roots(np.array([min(planes.min(), 0), planes.max()], np.float32))
        unit = HIGHEST / (highest - min(lowest, 0))
        return cls(np.float32(-min(lowest, 0) * unit), np.float32(unit))

    def stored(self, signal: FloatArray) -> FrameArray:
        """Return signal as integers; what lies beyond their range is clipped."""
        roots = to_roots(signal)
        roots *= self.unit
        roots += self.offset
        return np.clip(np.rint(roots, out=roots), 0, HIGHEST, out=roots).astype(np.uint16)

    def signal(self, stored: FrameArray) -> FloatArray:
        """Return the signal of integers, float32 of the same shape."""
        roots = stored.astype(np.float32)
        roots -= self.offset
        roots /= self.unit
        return to_signal(roots)


@dataclass(frozen=True, eq=False)
class DemosaicedXTrans:
    """White-balanced camera colours of a rectangle of the active area.

    Attributes
    ----------
    stored : (H, W, 3) uint16. scale : how roots are stored.
    """

    stored: FrameArray
    scale: _Scale

    def strips(self) -> Iterator[tuple[slice, FloatArray]]:
        """Yield slices of rows and their white-balanced signal, (3, rows, W) float32."""
        for top in range(0, len(self.stored), ROWS):
            rows = slice(top, min(top + ROWS, len(self.stored)))
            yield rows, self.scale.signal(np.moveaxis(self.stored[rows], -1, 0))


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
    scale = _Scale.of(photo, balance, photo.gain_maps if maps is None else maps)
    frame = np.empty((bottom - top, right - left), np.uint16)

    def fill(first: int) -> None:
        part = Rect(first, left, min(ROWS, bottom - first), right - left)
        planes, gains, inner = planes_in(photo, mosaic, part, 0, maps)
        stored = scale.stored(unpack(balance(planes, gains))[inner.slices])
        frame[first - top : first - top + part.height] = stored

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, range(top, bottom, ROWS)):
            pass
    pattern = photo.pattern.shifted(top, left)
    rows, columns = _padding(bottom - top), _padding(right - left)
    whole = padded(frame, pattern, rows, columns)
    rgb = markesteijn(whole, pattern.shifted(-rows[0], -columns[0]), passes)
    inside = Rect(rows[0] + rect.top - top, columns[0] + rect.left - left, rect.height, rect.width)
    return DemosaicedXTrans(rgb[inside.slices], scale)


def _padding(length: int) -> tuple[int, int]:
    """Return how many pixels to reflect before and after, so that LibRaw treats no pixel of the picture as an edge."""
    return HALO_PX, max(HALO_PX, LEAST_PX - length - HALO_PX)
