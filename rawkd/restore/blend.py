"""Blend the noisy and the restored mosaic by strength, luma and chroma, and keep blown highlights.

The residual noisy - restored is what the network removed. Its luma is the white-balanced residual without the
frequencies at which the mosaic carries colour; the rest is chroma. A Bayer mosaic carries colour at half a cycle per
pixel in either direction, an X-Trans mosaic at a third and a half, a monochrome one nowhere. The luma filters keep as
much of the fine grain as can be separated from colour. Pixels where light saturates the sensor stay unchanged: they
hold nothing to restore. All of this is our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.errors import InputError, UsageError
from rawkd.photo import DoubleArray, FloatArray, Kind, Mosaic, SiteArray
from rawkd.restore.strips import in_strips
from rawkd.sensor.cfa import padded
from rawkd.sensor.noise import NoiseModel

KEPT_WITHIN = 0.05
RESTORED_BEYOND = 0.5
"""Distances of the local mean below saturation, in noise standard deviations at saturation. Up to KEPT_WITHIN a pixel
is kept, from RESTORED_BEYOND on it is restored, and between them the two are mixed smoothly."""

LUMA_TAPS: FloatArray = np.array([1, -6, 15, 44, 15, -6, 1], np.float32) / np.float32(64)
"""Filter taps with the response 1 - sin^6(pi f). Applied along both axes they keep 0.60 of the standard deviation of
white noise; the 1 2 1 of a bilinear mean would keep 0.38."""
TAPS: dict[Kind, FloatArray] = {
    "bayer": LUMA_TAPS,
    "xtrans": np.array([-7, 5, 43, 62, 43, 5, -7], np.float32) / np.float32(144),
    "mono": np.ones(1, np.float32),
}
"""Luma filters. That of X-Trans is zero at a third and a half of a cycle per pixel and flat to second order at 0: 1 1 1
times 1 2 1 times -7 26 -7, normalised."""

KEPT_MARGIN_PX = 2
"""Reach of the pixels of one colour whose mean is compared with saturation: 3x3 of Bayer, all within it of X-Trans."""

MIN_NOISE_SD = 1e-4
"""Smallest noise standard deviation, signal units; smaller noise cannot be separated from rounding."""

_STRIP_ROWS = 64


def blend(
    noisy: Mosaic,
    restored: Mosaic,
    noise: NoiseModel,
    *,
    saturation: float | DoubleArray,
    strength: float = 1.0,
    luma: float = 1.0,
    chroma: float = 1.0,
    neutral: DoubleArray | None = None,
    overwrite: bool = False,
    threads: int | None = None,
) -> Mosaic:
    """Subtract `strength` times the luma and chroma parts of the residual from the noisy mosaic.

    Parameters
    ----------
    noisy, restored : (H, W) signal with the same CFA phase; neither is changed unless `overwrite` is true.
    noise : noise model of `noisy`; it sets how far from saturation a blown pixel may lie.
    saturation : signal at which the sensor clips; (side, side), one per site of the CFA cell, where sites differ.
    strength, luma, chroma : 0..1. If all are 1, the result equals `restored` bit for bit wherever nothing is blown. If
        strength is 0, or luma and chroma are 0, the result is `noisy` itself.
    neutral : (3,) as-shot neutral that white-balances luma; None uses the channels as they are.
    overwrite : whether the result may take the memory of `restored`.
    threads : number of threads; None is one for each core that the process may use.

    Returns
    -------
    Mosaic of the same shape and phase. Low values are not clipped. A pixel lies above saturation only if it did so in
    `noisy`.

    Raises
    ------
    InputError: if shape or phase differ. UsageError: if a factor lies outside 0..1.
    """
    _refuse(noisy, restored, {"strength": strength, "luma": luma, "chroma": chroma})
    if strength == 0 or luma == chroma == 0:
        return noisy
    pattern, classes = noisy.pattern, noisy.pattern.class_of_site
    cell_limit = np.broadcast_to(np.asarray(saturation, np.float64), classes.shape)
    of_classes = np.empty((len(pattern.classes), 1, 1))
    of_classes[classes.ravel(), 0, 0] = cell_limit.ravel()
    noise_sd = np.maximum(np.sqrt(noise.variance(of_classes)[:, 0, 0]), MIN_NOISE_SD)
    colours = np.ones(3) if neutral is None else neutral / neutral.max()
    cell_neutral = colours[pattern.colour_of_class][classes]
    lowest = np.float32(cell_limit.min())
    nearly = np.float32(cell_limit.min() - RESTORED_BEYOND * noise_sd.max())
    keep = np.float32(1 - strength * chroma)
    # the luma of a strip needs rows of the strips beside it
    out = restored.data if overwrite and luma == chroma else np.empty_like(noisy.data)

    def blend_strip(rows: slice) -> None:
        before, after, result = noisy.data[rows], restored.data[rows], out[rows]
        change: FloatArray | None = None
        if keep or luma != chroma:
            change = (before - after) * keep
        if change is not None and luma != chroma:
            change -= np.float32(strength * (luma - chroma)) * _luma(noisy, restored, rows, cell_neutral)
        if noisy.data[max(rows.start - KEPT_MARGIN_PX, 0) : rows.stop + KEPT_MARGIN_PX].max() >= nearly:
            kept = _kept(noisy, rows, cell_limit, noise_sd[classes])
            removed = before - after
            change = kept * removed if change is None else change + kept * (removed - change)
        exceeds = after.max() > lowest
        if change is not None:
            np.add(change, after, out=result)
        elif out is not restored.data:
            result[...] = after
        if exceeds:
            limit = _periodic(cell_limit, result.shape, rows.start, 0)
            np.minimum(result, np.maximum(before, limit), out=result)

    in_strips(blend_strip, noisy.data.shape[0], _STRIP_ROWS, threads)
    return Mosaic(out, noisy.pattern)


def _refuse(noisy: Mosaic, restored: Mosaic, factors: dict[str, float]) -> None:
    """Raise what `blend` raises."""
    for name, factor in factors.items():
        if not 0 <= factor <= 1:
            raise UsageError(f"{name} {factor:g}: give a number between 0 and 1.")
    if noisy.data.shape != restored.data.shape or noisy.pattern != restored.pattern:
        raise InputError(
            f"the restored mosaic {restored.data.shape} {restored.pattern} does not match the noisy one "
            f"{noisy.data.shape} {noisy.pattern}"
        )


def _window(mosaic: Mosaic, rows: slice, margin: int) -> FloatArray:
    """Return the rows with a margin on all sides, a copy; beyond the mosaic, pixels are reflected (`cfa.padded`)."""
    height = mosaic.data.shape[0]
    first, last = max(rows.start - margin, 0), min(rows.stop + margin, height)
    missing = (first - (rows.start - margin), rows.stop + margin - last)
    if not margin:
        return mosaic.data[rows].copy()
    low, high = max(first - mosaic.pattern.side, 0), min(last + mosaic.pattern.side, height)  # enough rows to reflect
    out = padded(mosaic.data[low:high], mosaic.pattern.shifted(low, 0), missing, (margin, margin))
    return out[first - low :][: rows.stop - rows.start + 2 * margin]


def _periodic(cell: DoubleArray, shape: tuple[int, ...], first_row: int, first_column: int) -> FloatArray:
    """Tile a cell, anchored at the mosaic's origin, over a window that starts at the given row and column."""
    rows, columns = (
        (np.arange(size) + first) % side
        for size, first, side in zip(shape, (first_row, first_column), cell.shape, strict=True)
    )
    tiled: FloatArray = cell.astype(np.float32)[:, columns][rows]
    return tiled


def _luma(noisy: Mosaic, restored: Mosaic, rows: slice, cell_neutral: DoubleArray) -> FloatArray:
    """Return the luma of the residual, (rows, W), scaled back from white-balanced to each site's own units."""
    taps = TAPS[noisy.pattern.kind]
    margin = len(taps) // 2
    residual = _window(noisy, rows, margin)
    residual -= _window(restored, rows, margin)
    residual *= _periodic(1 / cell_neutral, residual.shape, rows.start - margin, -margin)
    luma: FloatArray = low_pass(low_pass(residual, taps).T, taps).T
    luma *= _periodic(cell_neutral, luma.shape, rows.start, 0)
    return luma


def low_pass(data: FloatArray, taps: FloatArray = LUMA_TAPS) -> FloatArray:
    """Filter (h, w) along its columns with symmetric taps; return the pixels that have all their neighbours.

    Adds in float64, which is exact for the taps of Bayer unless neighbours differ by a factor of 2^20 or more.
    """
    wide = data.astype(np.float64)
    margin = len(taps) // 2
    height = len(wide) - 2 * margin
    total: DoubleArray = wide[margin:][:height] * taps[margin]
    for at in range(margin):
        total += (wide[at:][:height] + wide[2 * margin - at :][:height]) * taps[at]
    return total.astype(np.float32)


def _kept(noisy: Mosaic, rows: slice, cell_limit: DoubleArray, cell_noise_sd: DoubleArray) -> FloatArray:
    """Return the share of each noisy pixel that is kept, (rows, W), 0..1, from the mean of its colour nearby."""
    below = _window(noisy, rows, KEPT_MARGIN_PX)
    limit = _periodic(cell_limit, below.shape, rows.start - KEPT_MARGIN_PX, -KEPT_MARGIN_PX)
    np.subtract(limit, below, out=below)
    np.maximum(below, 0, out=below)
    if noisy.pattern.side == 2:
        count: float | DoubleArray = 9
        distance = _sum(below, (0, 2, 4))
    else:
        start = noisy.pattern.shifted(rows.start - KEPT_MARGIN_PX, -KEPT_MARGIN_PX)
        distance, count = _sums_of_classes(below, start.class_of_site, noisy.pattern.class_of_site)
    distance *= _periodic(1 / (count * cell_noise_sd * (RESTORED_BEYOND - KEPT_WITHIN)), distance.shape, rows.start, 0)
    share: FloatArray = np.float32(RESTORED_BEYOND / (RESTORED_BEYOND - KEPT_WITHIN)) - distance
    np.clip(share, 0, 1, out=share)
    return share * share * (3 - 2 * share)


def _sum(data: FloatArray, steps: tuple[int, ...]) -> FloatArray:
    """Return the sums of the pixels at the steps in both directions, (h - 4, w - 4)."""
    height, width = (size - 2 * KEPT_MARGIN_PX for size in data.shape)
    first, *others = steps
    across = data[first:][:height] + data[others[0] :][:height]
    for step in others[1:]:
        across += data[step:][:height]
    total = across[:, first:][:, :width] + across[:, others[0] :][:, :width]
    for step in others[1:]:
        total += across[:, step:][:, :width]
    return total


def _sums_of_classes(below: FloatArray, start: SiteArray, cell: SiteArray) -> tuple[FloatArray, DoubleArray]:
    """Return the sum of the 5x5 pixels of each pixel's class, (h - 4, w - 4), and their number by site of the cell.

    Parameters
    ----------
    start : classes of the cell at the first pixel of `below`. cell : classes at the mosaic's origin.
    """
    reach, steps = KEPT_MARGIN_PX, tuple(range(2 * KEPT_MARGIN_PX + 1))
    own = _periodic(start.astype(np.float64), below.shape, 0, 0)
    total = np.empty_like(below[reach:-reach, reach:-reach])
    count = np.empty(cell.shape)
    around = np.pad(cell, reach, mode="wrap")
    for each in range(int(cell.max()) + 1):
        here = own[reach:-reach, reach:-reach] == each
        total[here] = _sum(np.where(own == each, below, np.float32(0)), steps)[here]
        count[cell == each] = _sum((around == each).astype(np.float32), steps)[cell == each]
    return total, count
