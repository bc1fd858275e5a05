"""The masked pixels beside the exposed ones, and what they say about the black level.

Frames hold more than exposed and masked pixels: dummies, markers, a bright edge. So a strip counts only where it looks
like noise about the black level (our choice).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import RawPhoto

LEAST_WIDTH_PX = 12
GUARD_PX = 4
"""Masked pixels next to exposed ones, into which light leaks, and at the frame's own edge."""
FARTHEST = 0.02
"""Largest distance from the stated black level, in parts of the range, at which a strip is believed to be masked."""


def masked_strip(photo: RawPhoto) -> NDArray[np.uint16] | None:
    """The masked pixels at the left or right of the active area's rows, DN; None where there are none.

    The larger strip is taken; both halves of it must agree with each other, and neither may be constant.
    """
    area, width = photo.active_area, photo.frame.shape[1]
    rows = slice(area.top, area.top + area.height)
    left = photo.frame[rows, GUARD_PX : max(area.left - GUARD_PX, 0)]
    right = photo.frame[rows, area.left + area.width + GUARD_PX : max(width - GUARD_PX, 0)]
    strip = max(left, right, key=lambda part: part.shape[1])
    if strip.shape[1] < LEAST_WIDTH_PX:
        return None
    offsets = _offsets_of_halves(strip, photo)
    reach = FARTHEST * photo.levels.range_dn
    if any(offset is None or abs(offset) > reach for offset in offsets):
        return None
    first, second = (float(offset or 0) for offset in offsets)
    return strip if abs(first - second) < float(strip.std()) else None


def masked_offset_dn(photo: RawPhoto) -> float | None:
    """Mean of the masked pixels over the stated black level, DN; None where there are none."""
    strip = masked_strip(photo)
    if strip is None:
        return None
    first, second = (float(offset or 0) for offset in _offsets_of_halves(strip, photo))
    return (first + second) / 2


def _offsets_of_halves(strip: NDArray[np.uint16], photo: RawPhoto) -> list[float | None]:
    """Offset of the left and the right half of a strip."""
    black_dn = photo.levels.mean_black_dn
    return [_offset_dn(half, black_dn) for half in np.array_split(strip, 2, axis=1)]


def _offset_dn(strip: NDArray[np.uint16], black_dn: float) -> float | None:
    """Mean over the black level without the outermost hundredths, DN; None where all samples are the same."""
    low, high = np.quantile(strip, [0.01, 0.99])
    if low == high:
        return None
    return float(strip[(strip >= low) & (strip <= high)].mean()) - black_dn
