"""Blend the noisy and the restored mosaic by strength, luma and chroma, and keep blown highlights.

The residual noisy - restored is what the network removed. Its luma is the white-balanced residual without the
frequencies at which a Bayer mosaic carries colour (half a cycle per pixel in either direction); the rest is chroma.
Along rows and columns the luma filter passes a frequency f by 1 - sin^6(pi f), which keeps as much of the fine grain as
can be separated from colour. Pixels where light saturates the sensor stay unchanged: they hold nothing to restore. All
of this is our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.errors import InputError, UsageError
from rawkd.photo import DoubleArray, FloatArray, Mosaic
from rawkd.sensor.noise import NoiseModel

KEPT_WITHIN = 0.05
RESTORED_BEYOND = 0.5
"""Distances of the local mean below saturation, in noise standard deviations at saturation. Up to KEPT_WITHIN a pixel
is kept, from RESTORED_BEYOND on it is restored, and between them the two are mixed smoothly."""

LUMA_TAPS = np.array([1, -6, 15, 44, 15, -6, 1], np.float32) / 64
"""Filter taps with the response 1 - sin^6(pi f). Applied along both axes they keep 0.60 of the standard deviation of
white noise; the 1 2 1 of a bilinear mean would keep 0.38."""
LUMA_MARGIN_PX = len(LUMA_TAPS) // 2

KEPT_MARGIN_PX = 2
"""Reach of the 3x3 pixels of one colour whose mean is compared with saturation."""

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
) -> Mosaic:
    """Subtract `strength` times the luma and chroma parts of the residual from the noisy mosaic.

    Parameters
    ----------
    noisy, restored : (H, W) signal with the same CFA phase; neither is changed.
    noise : noise model of `noisy`; it sets how far from saturation a blown pixel may lie.
    saturation : signal at which the sensor clips; (2, 2), one per site of the CFA cell, where sites differ.
    strength, luma, chroma : 0..1. If all are 1, the result equals `restored` bit for bit wherever nothing is blown. If
        strength is 0, or luma and chroma are 0, the result is `noisy` itself.
    neutral : (3,) as-shot neutral that white-balances luma; None uses the channels as they are.

    Returns
    -------
    Mosaic of the same shape and phase. Low values are not clipped. A pixel lies above saturation only if it did so in
    `noisy`.

    Raises
    ------
    InputError: if shape or phase differ. UsageError: if a factor lies outside 0..1.
    """
    for name, factor in (("strength", strength), ("luma", luma), ("chroma", chroma)):
        if not 0 <= factor <= 1:
            raise UsageError(f"{name} {factor:g}: give a number between 0 and 1.")
    if noisy.data.shape != restored.data.shape or noisy.pattern != restored.pattern:
        raise InputError(
            f"the restored mosaic {restored.data.shape} {restored.pattern} does not match the noisy one "
            f"{noisy.data.shape} {noisy.pattern}"
        )
    if strength == 0 or luma == chroma == 0:
        return noisy
    planes = noisy.pattern.class_of_site
    cell_limit = np.broadcast_to(np.asarray(saturation, np.float64), (2, 2))
    of_planes = np.empty((4, 1, 1))
    of_planes[planes.ravel(), 0, 0] = cell_limit.ravel()
    noise_sd = np.maximum(np.sqrt(noise.variance(of_planes)[:, 0, 0]), MIN_NOISE_SD)
    colours = np.ones(3) if neutral is None else neutral / neutral.max()
    cell_neutral = colours[[0, 1, 1, 2]][planes]
    lowest = np.float32(cell_limit.min())
    nearly = np.float32(cell_limit.min() - RESTORED_BEYOND * noise_sd.max())
    height = noisy.data.shape[0]
    out = np.empty_like(noisy.data)
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        before, after, result = noisy.data[rows], restored.data[rows], out[rows]
        removed = before - after
        keep = np.float32(1 - strength * chroma)
        if luma != chroma:
            np.multiply(removed, keep, out=result)
            result -= np.float32(strength * (luma - chroma)) * _luma(noisy.data, restored.data, rows, cell_neutral)
        elif keep:
            np.multiply(removed, keep, out=result)
        else:
            result[...] = 0
        if noisy.data[max(rows.start - KEPT_MARGIN_PX, 0) : rows.stop + KEPT_MARGIN_PX].max() >= nearly:
            kept = _kept(noisy.data, rows, cell_limit, noise_sd[planes])
            result += kept * (removed - result)
        result += after
        if after.max() > lowest:
            limit = _periodic(cell_limit, result.shape, top, 0)
            np.minimum(result, np.maximum(before, limit), out=result)
    return Mosaic(out, noisy.pattern)


def _window(data: FloatArray, rows: slice, margin: int) -> FloatArray:
    """Return the rows with a margin on all sides; beyond the mosaic, pixels are reflected, which keeps the phase."""
    height = data.shape[0]
    first, last = max(rows.start - margin, 0), min(rows.stop + margin, height)
    missing = (first - (rows.start - margin), rows.stop + margin - last)
    return np.pad(data[first:last], (missing, (margin, margin)), mode="reflect")


def _periodic(cell: DoubleArray, shape: tuple[int, ...], first_row: int, first_column: int) -> FloatArray:
    """Tile a 2x2 pattern, anchored at the mosaic's origin, over a window that starts at the given row and column."""
    rows, columns = (np.arange(shape[0]) + first_row) % 2, (np.arange(shape[1]) + first_column) % 2
    return cell.astype(np.float32)[:, columns][rows]


def _luma(noisy: FloatArray, restored: FloatArray, rows: slice, cell_neutral: DoubleArray) -> FloatArray:
    """Return the luma of the residual, (rows, W), scaled back from white-balanced to each site's own units."""
    residual = _window(noisy, rows, LUMA_MARGIN_PX)
    residual -= _window(restored, rows, LUMA_MARGIN_PX)
    residual *= _periodic(1 / cell_neutral, residual.shape, rows.start - LUMA_MARGIN_PX, -LUMA_MARGIN_PX)
    luma = low_pass(low_pass(residual).T).T
    luma *= _periodic(cell_neutral, luma.shape, rows.start, 0)
    return luma


def low_pass(data: FloatArray) -> FloatArray:
    """Filter (h, w) along its columns with `LUMA_TAPS`; return the (h - 6, w) pixels that have all their neighbours.

    Adds in float64, which is exact for these taps unless neighbours differ by a factor of 2^20 or more.
    """
    wide = data.astype(np.float64)
    height = len(wide) - 2 * LUMA_MARGIN_PX
    total: DoubleArray = wide[LUMA_MARGIN_PX:][:height] * LUMA_TAPS[LUMA_MARGIN_PX]
    for at in range(LUMA_MARGIN_PX):
        total += (wide[at:][:height] + wide[2 * LUMA_MARGIN_PX - at :][:height]) * LUMA_TAPS[at]
    return total.astype(np.float32)


def _kept(noisy: FloatArray, rows: slice, cell_limit: DoubleArray, cell_noise_sd: DoubleArray) -> FloatArray:
    """Return the share of each noisy pixel that is kept, (rows, W), 0..1, from the mean of 3x3 pixels of its colour."""
    capped = _window(noisy, rows, KEPT_MARGIN_PX)
    limit = _periodic(cell_limit, capped.shape, rows.start - KEPT_MARGIN_PX, -KEPT_MARGIN_PX)
    np.subtract(limit, capped, out=capped)
    np.maximum(capped, 0, out=capped)
    thirds = capped[:-4] + capped[2:-2]
    thirds += capped[4:]
    distance = thirds[:, :-4] + thirds[:, 2:-2]
    distance += thirds[:, 4:]
    distance *= _periodic(1 / (9 * cell_noise_sd * (RESTORED_BEYOND - KEPT_WITHIN)), distance.shape, rows.start, 0)
    share = np.float32(RESTORED_BEYOND / (RESTORED_BEYOND - KEPT_WITHIN)) - distance
    np.clip(share, 0, 1, out=share)
    return share * share * (3 - 2 * share)
