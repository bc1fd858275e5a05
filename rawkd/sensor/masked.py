"""Measure black level and read noise in the masked pixels beside the exposed ones.

Frames also hold pixels that are neither: dummy pixels, markers, a bright edge. So a strip is used only if it looks like
noise around the black level (our choice).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FrameArray, RawPhoto

LEAST_WIDTH_PX = 12
GUARD_PX = 4
"""Width of the unused margin next to exposed pixels, whose light leaks, and at the edge of the frame."""
FARTHEST = 0.02
"""Largest distance of a masked strip from the stated black level, as a part of the range."""
LEAST_STRIP_PX, LEAST_QUADS = 8, 1000
"""Least width of a strip, and least number of groups of four pixels of one colour: a read variance to within 5 %."""
LARGEST_OFFSET_SIGMAS = 1.5
"""Largest offset of a strip from the black level, in its standard deviations; above it, light may have leaked in."""
OUTLIER_SIGMAS = 5.0
"""Groups with a larger deviation contain a hot pixel and are not used."""
LEAST_SD_DN = 0.25
"""Least standard deviation of real readings, since rounding alone makes 0.29 DN; below it, samples are constants."""
MOST_CUT_OFF = 0.01
"""Largest share of samples at DN 0; above it, clipping changes the noise of the strip."""
HALVES_AGREE = 1.5
"""Largest ratio of the variances of a strip's halves; light leaks and in-camera corrections make it larger."""


def masked_strip(photo: RawPhoto) -> NDArray[np.uint16] | None:
    """Return the masked pixels left or right of the active area, (H, width) DN; None if there are none.

    Uses the wider strip. Its two halves must have the same mean, and neither may be constant.
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
    """Return the mean of the masked pixels minus the stated black level, DN; None if there are no masked pixels."""
    strip = masked_strip(photo)
    if strip is None:
        return None
    first, second = (float(offset or 0) for offset in _offsets_of_halves(strip, photo))
    return (first + second) / 2


def _offsets_of_halves(strip: NDArray[np.uint16], photo: RawPhoto) -> list[float | None]:
    """Return the offset from the black level of the left and the right half of a strip."""
    black_dn = photo.levels.mean_black_dn
    return [_offset_dn(half, black_dn) for half in np.array_split(strip, 2, axis=1)]


def _offset_dn(strip: NDArray[np.uint16], black_dn: float) -> float | None:
    """Return the mean minus the black level, DN, without the lowest and highest 1 %; None for constant samples."""
    low, high = np.quantile(strip, [0.01, 0.99])
    if low == high:
        return None
    return float(strip[(strip >= low) & (strip <= high)].mean()) - black_dn


def masked_read_variance(photo: RawPhoto) -> DoubleArray | None:
    """Return the read variance of the noise classes in masked pixels, (classes,) in squared signal units, or None.

    Measures the strips on all four sides of the active area and uses the quietest, since dummy columns and amplifier
    glow only add variance. Differences within groups of four pixels of one colour cancel row and column noise.
    Returns None if no strip can be used: too small, constant, clipped at DN 0, far from the stated black level, or with
    halves that differ.
    """
    measured = (_read_variance_dn(photo, strip) for strip in _strips(photo))
    found = [variance for variance in measured if variance is not None]
    if not found:
        return None
    return np.asarray(min(found, key=lambda variance: float(variance.mean())) / photo.levels.range_dn**2)


def _strips(photo: RawPhoto) -> list[FrameArray]:
    """Return the masked strips left, right, top and bottom; each begins with the colour of the active area's origin."""
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
    """Return the read variance of the noise classes in one strip, (classes,) squared DN; None if it cannot be used.

    Masked pixels see no colour. So those of Bayer are told apart by their site, and all others are alike.
    """
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
    of_sites = (np.square(quads, dtype=np.float64) * kept).sum(axis=(0, 2)) / kept.sum(axis=(0, 2))
    if photo.pattern.kind != "bayer":
        return np.full(len(photo.pattern.classes), of_sites.mean())
    variance = np.empty(4)
    variance[photo.pattern.class_of_site.ravel()] = of_sites.ravel()
    return variance
