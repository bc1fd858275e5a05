"""How much of what the network removed is really taken away: strength, luma and chroma, and blown highlights.

Everything here is our choice. What is removed is the residual noisy - restored. Its luma is the white-balanced residual
without the frequencies at which a Bayer mosaic carries colour, half a cycle a pixel in either direction; the rest is
chroma. Along rows and columns a frequency f is kept by 1 - sin^6(pi f): of the fine grain as much as can be told from
colour. Where light saturates the sensor there is nothing to restore: there the samples stay as they are.
"""

from __future__ import annotations

import numpy as np

from rawkd.errors import InputError, UsageError
from rawkd.photo import DoubleArray, FloatArray, Mosaic
from rawkd.sensor.noise import NoiseModel

KEPT_WITHIN = 0.05
RESTORED_BEYOND = 0.5
"""Distances of the local mean from saturation, in standard deviations of the noise there: nearer than the first a
sample is kept, farther than the second it is restored, between them the two are mixed smoothly."""

LUMA_TAPS = np.array([1, -6, 15, 44, 15, -6, 1], np.float32) / 64
"""1 - sin^6(pi f). In both directions it keeps 0.60 of white noise's deviation, the 1 2 1 of a bilinear mean 0.38."""
LUMA_MARGIN_PX = len(LUMA_TAPS) // 2

KEPT_MARGIN_PX = 2
"""Reach of the 3x3 samples of one colour whose mean is compared with saturation."""

LEAST_DEVIATION = 1e-4
"""Standard deviation below which noise is not told from rounding, signal units."""

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
    """The noisy mosaic without `strength` times the luma and chroma parts of its residual.

    Parameters
    ----------
    noisy, restored : (H, W) signal of one phase; neither is changed.
    noise : of `noisy`; it says how far from saturation a blown sample may lie.
    saturation : signal at which the sensor clips; (2, 2) of the sites of the CFA cell where they differ.
    strength, luma, chroma : 0..1. All 1 is `restored`, bit for bit, wherever nothing is blown; strength 0, or luma and
        chroma 0, is `noisy` itself.
    neutral : (3,) as-shot neutral, by which luma is white-balanced; None takes the channels as they are.

    Returns
    -------
    Mosaic of the same shape and phase. Nothing is clipped below; no sample passes saturation that did not before.

    Raises
    ------
    InputError: if shape or phase differ. UsageError: for a factor outside 0..1.
    """
    for name, factor in (("strength", strength), ("luma", luma), ("chroma", chroma)):
        if not 0 <= factor <= 1:
            raise UsageError(f"{name} {factor:g} does not lie between 0 and 1")
    if noisy.data.shape != restored.data.shape or noisy.pattern != restored.pattern:
        raise InputError(
            f"the restored mosaic {restored.data.shape} {restored.pattern} does not match the noisy one "
            f"{noisy.data.shape} {noisy.pattern}"
        )
    if strength == 0 or luma == chroma == 0:
        return noisy
    planes = np.array(noisy.pattern.plane_of_site).reshape(2, 2)
    cell_limit = np.broadcast_to(np.asarray(saturation, np.float64), (2, 2))
    of_planes = np.empty((4, 1, 1))
    of_planes[planes.ravel(), 0, 0] = cell_limit.ravel()
    deviation = np.maximum(np.sqrt(noise.variance(of_planes)[:, 0, 0]), LEAST_DEVIATION)
    colours = np.ones(3) if neutral is None else neutral / neutral.max()
    cell_neutral = colours[[0, 1, 1, 2]][planes]
    lowest = np.float32(cell_limit.min())
    nearly = np.float32(cell_limit.min() - RESTORED_BEYOND * deviation.max())
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
            kept = _kept(noisy.data, rows, cell_limit, deviation[planes])
            result += kept * (removed - result)
        result += after
        if after.max() > lowest:
            limit = _periodic(cell_limit, result.shape, top, 0)
            np.minimum(result, np.maximum(before, limit), out=result)
    return Mosaic(out, noisy.pattern)


def _window(data: FloatArray, rows: slice, margin: int) -> FloatArray:
    """Rows and a margin on all sides; beyond the mosaic it is reflected, which keeps the phase."""
    height = data.shape[0]
    first, last = max(rows.start - margin, 0), min(rows.stop + margin, height)
    missing = (first - (rows.start - margin), rows.stop + margin - last)
    return np.pad(data[first:last], (missing, (margin, margin)), mode="reflect")


def _periodic(cell: DoubleArray, shape: tuple[int, ...], first_row: int, first_column: int) -> FloatArray:
    """A 2x2 pattern anchored at the mosaic's origin, over a window that begins at the given row and column."""
    rows, columns = (np.arange(shape[0]) + first_row) % 2, (np.arange(shape[1]) + first_column) % 2
    return cell.astype(np.float32)[:, columns][rows]


def _luma(noisy: FloatArray, restored: FloatArray, rows: slice, cell_neutral: DoubleArray) -> FloatArray:
    """Luma of the residual in the unit of every site, (rows, W)."""
    from scipy.ndimage import correlate1d

    residual = _window(noisy, rows, LUMA_MARGIN_PX)
    residual -= _window(restored, rows, LUMA_MARGIN_PX)
    residual *= _periodic(1 / cell_neutral, residual.shape, rows.start - LUMA_MARGIN_PX, -LUMA_MARGIN_PX)
    inside = slice(LUMA_MARGIN_PX, -LUMA_MARGIN_PX)
    luma: FloatArray = correlate1d(correlate1d(residual, LUMA_TAPS, 0)[inside], LUMA_TAPS, 1)[:, inside]
    luma *= _periodic(cell_neutral, luma.shape, rows.start, 0)
    return luma


def _kept(noisy: FloatArray, rows: slice, cell_limit: DoubleArray, cell_deviation: DoubleArray) -> FloatArray:
    """Share of every sample that stays as it is, 0..1, from the mean of the 3x3 samples of its colour, (rows, W)."""
    capped = _window(noisy, rows, KEPT_MARGIN_PX)
    limit = _periodic(cell_limit, capped.shape, rows.start - KEPT_MARGIN_PX, -KEPT_MARGIN_PX)
    np.subtract(limit, capped, out=capped)
    np.maximum(capped, 0, out=capped)
    thirds = capped[:-4] + capped[2:-2]
    thirds += capped[4:]
    distance = thirds[:, :-4] + thirds[:, 2:-2]
    distance += thirds[:, 4:]
    distance *= _periodic(1 / (9 * cell_deviation * (RESTORED_BEYOND - KEPT_WITHIN)), distance.shape, rows.start, 0)
    share = np.float32(RESTORED_BEYOND / (RESTORED_BEYOND - KEPT_WITHIN)) - distance
    np.clip(share, 0, 1, out=share)
    return share * share * (3 - 2 * share)
