"""The masked pixels beside the exposed ones, and what they say about the black level and the read noise.

Frames hold more than exposed and masked pixels: dummies, markers, a bright edge. So a strip counts only where it looks
like noise about the black level (our choice).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FrameArray, RawPhoto

LEAST_WIDTH_PX = 12
GUARD_PX = 4
"""Masked pixels next to exposed ones, into which light leaks, and at the frame's own edge."""
FARTHEST = 0.02
"""Largest distance from the stated black level, in parts of the range, at which a strip is believed to be masked."""
LEAST_STRIP_PX, LEAST_QUADS = 8, 1000
"""Narrowest strip, and fewest groups of four pixels of one colour, that tell a read variance: to within 5 %."""
LARGEST_OFFSET_SIGMAS = 1.5
"""Mean of a strip over the black level, in its standard deviations, above which light may have leaked into it."""
OUTLIER_SIGMAS = 5.0
"""Groups beyond this hold a hot pixel."""
LEAST_SD_DN = 0.25
"""Standard deviation below which the samples are constant rather than read: rounding alone makes 0.29 DN."""
MOST_CUT_OFF = 0.01
"""Share of samples at DN 0 above which a strip's noise is cut off there."""
HALVES_AGREE = 1.5
"""Largest ratio of the variances of a strip's halves: leaking light and a camera's own corrections differ over it."""


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


def masked_read_variance(photo: RawPhoto) -> DoubleArray | None:
    """Read variance of the planes R, Gr, Gb, B as the masked pixels show it, (4,) in squared signal units.

    Strips at all four sides of the active area are tried, and the quietest of them is taken: dummy columns and
    amplifier glow only add. Differences over groups of four pixels of one colour leave out what rows and columns share.
    None where no strip can be used: none or a small one, constant, cut off at DN 0, far from the stated black level,
    or with halves that differ.
    """
    measured = (_read_variance_dn(photo, strip) for strip in _strips(photo))
    found = [variance for variance in measured if variance is not None]
    if not found:
        return None
    return np.asarray(min(found, key=lambda variance: float(variance.mean())) / photo.levels.range_dn**2)


def _strips(photo: RawPhoto) -> list[FrameArray]:
    """Masked pixels at the left, right, top and bottom; each begins with the colour at the active area's origin."""
    area, (height, width) = photo.active_area, photo.frame.shape
    bottom, right = area.top + area.height, area.left + area.width
    spans = [
        (area.top, bottom, GUARD_PX, area.left - GUARD_PX),
        (area.top, bottom, right + GUARD_PX, width - GUARD_PX),
        (GUARD_PX, area.top - GUARD_PX, area.left, right),
        (bottom + GUARD_PX, height - GUARD_PX, area.left, right),
    ]
    return [
        photo.frame[top + (top - area.top) % 2 : max(end, 0), left + (left - area.left) % 2 : max(last, 0)]
        for top, end, left, last in spans
    ]


def _read_variance_dn(photo: RawPhoto, strip: FrameArray) -> DoubleArray | None:
    """(4,) read variance of one strip in R, Gr, Gb, B, squared DN; None where it cannot be used."""
    rows, columns = (side // 4 for side in strip.shape)
    if min(strip.shape) < LEAST_STRIP_PX or rows * columns < LEAST_QUADS:
        return None
    samples = strip[: 4 * rows, : 4 * columns].astype(np.float32)
    if (samples == 0).mean() > MOST_CUT_OFF:
        return None
    cells = samples.reshape(rows, 2, 2, columns, 2, 2)
    quads = (cells[:, 0, :, :, 0] - cells[:, 0, :, :, 1] - cells[:, 1, :, :, 0] + cells[:, 1, :, :, 1]) / 2
    low, high = np.quantile(quads, [0.16, 0.84])
    kept = np.abs(quads) <= OUTLIER_SIGMAS * max(float(high - low) / 2, LEAST_SD_DN)
    across = 0 if rows < columns else 2
    sums, counts = (
        [float(half.sum()) for half in np.array_split(each, 2, axis=across)] for each in (np.square(quads) * kept, kept)
    )
    if not all(counts):  # a pattern of the electronics: no group is near 0
        return None
    halves = [total / count for total, count in zip(sums, counts, strict=True)]
    sd = float(np.sqrt(np.mean(halves)))
    offset = abs(float(np.median(samples.mean(axis=0))) - photo.levels.mean_black_dn)
    if sd < LEAST_SD_DN or max(halves) > HALVES_AGREE * min(halves) or offset > LARGEST_OFFSET_SIGMAS * sd:
        return None
    variance = np.empty(4)
    variance[list(photo.pattern.plane_of_site)] = (
        (np.square(quads, dtype=np.float64) * kept).sum(axis=(0, 2)) / kept.sum(axis=(0, 2))
    ).ravel()
    return variance
