"""Measure the DN at which a sensor clips: many files state a higher white level than their sensor reaches.

Blown areas form a narrow spike at the top of a colour's histogram, with almost nothing above it. Light has shot noise,
so the histogram of an evenly lit bright area is wider than such a spike and ends in a slope. If the picture has no
noise, or its integers are too coarse to show it, nothing is measured. All of this is our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, FrameArray, Levels
from rawkd.sensor.noise import SIGMA_OF_MAD

Counts = NDArray[np.int64]

WIDTHS = (2.0**-14, 2.0**-12, 2.0**-10, 2.0**-8)
"""Spike widths to try, as fractions of the range; the widest is still narrower than shot noise at white."""
MIN_SIGNAL, MIN_SIGNAL_ALONE = 0.5, 0.7
"""Smallest signal at which clipping is searched for, and smallest signal at which one colour alone proves it."""
COARSEST = 1 / 400
"""Largest step between neighbouring integers, as a fraction of the range: 10 bits and lossy curves are fine enough, 8
bits are not."""
MIN_SAMPLES = 4
"""Median count per integer from which gaps between integers are not due to chance."""
OUTLIERS, OUTLIER_SHARE = 16, 1e-4
"""Pixels that may lie above a spike, such as defects: as a count, or as a fraction of the colour's pixels if that is
more and the spike has four times as many."""
MIN_MASS = 64
FACTOR = 8
"""Smallest ratio of a spike's pixels to the expected number, which is twice the density below the spike."""
BACKGROUND_BINS = 24
NARROW = 0.5
"""Largest ratio of a spike's standard deviation, rounding included, to the noise standard deviation below it."""
SURE, WIDEST = 0.0005, 0.002
"""Largest standard deviations of a spike as fractions of the range: SURE if one colour alone is to prove clipping,
WIDEST if two colours agree. Shot noise as low as 0.0005 would need a pixel of four million electrons."""
ROUNDING = 12**-0.5
"""Standard deviation of rounding to integers, as a fraction of their step."""
NOISY_FROM, MIN_PLACES = 0.25, 64
"""Noise is measured in 3x3 pixels of one colour between this fraction of the spike's DN and the spike. With fewer such
places than MIN_PLACES, all pixels below the spike are used."""
BAND_ROWS, ENOUGH_PLACES = 64, 1 << 16
"""Noise is measured in bands of rows until there are enough places: then the median is known to 0.5 %."""
FOOT_SHARE = 0.01
"""Fraction of a spike's pixels from which an eighth of its width still belongs to the spike."""
WHOLE = 0.95
"""A narrower spike with this fraction of a wider spike's pixels is the same spike; its sharper foot is used."""
SAMPLES = 1 << 21
"""Approximate number of pixels read per site, in whole rows."""


def with_measured_clip(levels: Levels, area: FrameArray, pattern: CFAPattern) -> Levels:
    """Return the levels with the saturation measured per colour, where it is below the stated one.

    A colour without a spike of its own gets the lowest clipping level of the others, unless it has pixels above that.

    Parameters
    ----------
    levels : the levels that the file states. area : (H, W) uint16, the active area in DN.
    pattern : CFA phase at its origin.
    """
    stated = levels.saturation_dn
    step, side = max(1, area.size // (4 * SAMPLES)), pattern.side
    sites = [area[row::side, column::side][::step] for row in range(side) for column in range(side)]
    letters = sorted(set(pattern.colours), key="RGBW".index)
    of_colour = {
        colour: [site for site, own in zip(sites, pattern.colours, strict=True) if own == colour] for colour in letters
    }
    counts = {colour: _counts_of(planes, levels) for colour, planes in of_colour.items()}
    found = {colour: _spike_of(planes, counts[colour], levels) for colour, planes in of_colour.items()}
    spikes = {colour: spike for colour, spike in found.items() if spike is not None}
    same = WIDTHS[-1] * levels.range_dn
    clips = {
        colour: min(float(spike.foot), stated)
        for colour, spike in spikes.items()
        if spike.is_sure(levels)
        or any(abs(spike.foot - other.foot) <= same for other in spikes.values() if other is not spike)
    }
    if not clips:
        return levels
    lowest = min(clips.values())
    for colour in letters:
        if colour not in clips:
            above = int(counts[colour][int(lowest + same) + 1 :].sum())
            clips[colour] = lowest if above < _outliers(counts[colour]) else stated
    if max(clips.values()) - lowest <= same:
        return replace(levels, saturation_dn=lowest)
    of_sites = np.array([clips[colour] for colour in pattern.colours], np.float64).reshape(side, side)
    return replace(levels, saturation_dn=lowest, site_saturation_dn=of_sites)


def _counts_of(planes: list[FrameArray], levels: Levels) -> Counts:
    """Return the number of a colour's pixels with each DN, (65536,), exact where a spike is searched for.

    Nothing below half of the darkest possible spike is looked at. Those pixels count as DN 0, since to count them one
    by one takes longer.
    """
    least = int(_darkest(levels) / 2)
    counts = np.zeros(1 << 16, np.int64)
    for plane in planes:
        samples = plane.ravel()
        bright = samples[samples >= least]
        counts += np.bincount(bright, minlength=len(counts))
        counts[0] += len(samples) - len(bright)
    return counts


def _darkest(levels: Levels) -> float:
    """Return the lowest DN at which clipping is searched for."""
    return levels.mean_black_dn + MIN_SIGNAL * levels.range_dn


def _outliers(counts: Counts) -> int:
    return max(OUTLIERS, int(OUTLIER_SHARE * counts.sum()))


@dataclass(frozen=True)
class _Spike:
    """The spike at the top of a colour's histogram: its lowest DN and its standard deviation in DN."""

    foot: int
    deviation: float

    def is_sure(self, levels: Levels) -> bool:
        """Return whether it proves clipping even if no other colour has a spike at the same DN."""
        signal = (self.foot - levels.mean_black_dn) / levels.range_dn
        return signal >= MIN_SIGNAL_ALONE and self.deviation <= SURE * levels.range_dn


def _spike_of(planes: list[FrameArray], counts: Counts, levels: Levels) -> _Spike | None:
    """Return the spike that clipping leaves in a colour's histogram, or None.

    Parameters
    ----------
    planes : the colour's sites. counts : (65536,) number of their pixels with each DN.
    """
    above = counts[::-1].cumsum()[::-1]
    for outliers in sorted({_outliers(counts), OUTLIERS}, reverse=True):
        tops = np.flatnonzero(above >= outliers)
        if not tops.size or tops[-1] < _darkest(levels):
            continue
        top = int(tops[-1])
        spacing = _spacing(counts, top)
        if spacing > COARSEST * levels.range_dn:
            return None
        best = None
        for part in reversed(WIDTHS):
            width = max(1, round(part * levels.range_dn))
            if width < spacing:
                break
            foot = _foot(counts, above, top, width, max(MIN_MASS, 4 * outliers))
            if foot is None or (best is not None and above[foot] < WHOLE * above[best.foot]):
                continue
            deviation = max(_deviation_above(counts, foot), ROUNDING * spacing)
            if deviation > WIDEST * levels.range_dn:
                continue
            if deviation < NARROW * _noise_below(planes, foot - 2 * width):
                best = _Spike(foot, deviation)
        if best is not None:
            return best
    return None


def _spacing(counts: Counts, top: int) -> int:
    """Return the step between neighbouring integers that occur below `top`; 1 if there are too few."""
    below = counts[3 * top // 4 : top]
    occupied = np.flatnonzero(below)
    if len(occupied) < 2 or np.median(below[occupied]) < MIN_SAMPLES:
        return 1
    return int(np.median(np.diff(occupied)))


def _foot(counts: Counts, above: Counts, top: int, width: int, least_mass: int) -> int | None:
    """Return the lowest DN of a spike of about `width` at the top of a histogram, or None.

    Parameters
    ----------
    above : number of pixels with each DN or a higher one. top : DN that almost no pixel exceeds.
    """
    first = top - width - width // 2
    peak = first + int(np.argmax(counts[first : top + 1]))
    mass = int(above[peak - width])
    low, high = max(peak - (2 + BACKGROUND_BINS) * width, 3 * peak // 4), peak - 2 * width
    density = int(above[low] - above[high]) / max(high - low, 1)
    if mass < max(least_mass, FACTOR * (2 * density * width + 1)):
        return None
    step = max(1, width // 8)
    foot = peak
    while foot > high and above[foot - step] - above[foot] > max(FACTOR * (density * step + 1), FOOT_SHARE * mass):
        foot -= step
    return foot


def _deviation_above(counts: Counts, foot: int) -> float:
    """Return half the distance between the 16th and 84th percentiles of pixels from `foot` on, a Gaussian's sigma."""
    share = counts[foot:].cumsum() / counts[foot:].sum()
    return float(np.searchsorted(share, 0.84) - np.searchsorted(share, 0.16)) / 2


def _noise_below(planes: list[FrameArray], limit: int) -> float:
    """Return the noise standard deviation of pixels below `limit`; 0 if there are too few.

    It uses second differences (1 -2 1) along rows of second differences along columns. Their variance is 36 times that
    of the noise, and slow changes of light cancel in them.
    """
    for least in (NOISY_FROM * limit, 0.0):
        found: list[NDArray[np.int32]] = []
        size = 0
        for band in _bands(planes):
            found.append(_differences(band, least, limit))
            size += found[-1].size
            if size >= ENOUGH_PLACES:
                break
        if size >= MIN_PLACES:
            return SIGMA_OF_MAD * float(np.median(np.abs(np.concatenate(found)))) / 6
    return 0.0


def _bands(planes: list[FrameArray]) -> Iterator[FrameArray]:
    """Yield bands of rows that cover all planes, in a fixed mixed order, so that the first ones are spread out."""
    starts = [(plane, top) for plane in planes for top in range(0, max(len(plane) - 2, 1), BAND_ROWS - 2)]
    for index in np.random.default_rng(0).permutation(len(starts)):
        plane, top = starts[index]
        yield plane[top : top + BAND_ROWS]


def _differences(plane: FrameArray, least: float, limit: int) -> NDArray[np.int32]:
    """Return the mixed second differences where all nine pixels lie between the limits, as a flat array."""
    inside = (plane >= least) & (plane < limit)
    inside = inside[:-2] & inside[1:-1] & inside[2:]
    inside = inside[:, :-2] & inside[:, 1:-1] & inside[:, 2:]
    samples = plane.astype(np.int32)
    along = samples[:-2] - 2 * samples[1:-1] + samples[2:]
    mixed: NDArray[np.int32] = along[:, :-2] - 2 * along[:, 1:-1] + along[:, 2:]
    return mixed[inside]
