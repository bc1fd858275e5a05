"""Add hot and dead (cold) pixels to a noisy crop.

A real sensor at gain 2e-4 had about two hot and two cold pixels per megapixel and frame. Hot ones were 6 to 50 noise
standard deviations above their surroundings, in long exposures several hundred; cold ones 6 to 12 below them or at
zero. The number per crop and the fractions are our choice.
"""

from __future__ import annotations

import math

import numpy as np

from rawkd.photo import FloatArray
from rawkd.training.data.synthesize import Camera

FEWEST, MOST = 1.0, 24.0
"""Range of the number of wrong pixels in a crop; log-uniform."""
WEAKEST_HOT = 6.0
"""Noise standard deviations; heights are log-uniform up to `NoiseRecipe.hottest`."""
COLD_DEVIATIONS = 6.0, 12.0
HOT_SHARE = 0.5
ZERO_SHARE = 0.3
"""Fraction of the cold pixels that have DN 0."""


def with_wrong_samples(
    noisy: FloatArray, clean: FloatArray, camera: Camera, rng: np.random.Generator, hottest: float
) -> FloatArray:
    """Replace a few single samples of `noisy` by hot or cold ones, in place, and return it.

    Parameters
    ----------
    noisy, clean : (planes, h, w) signal; `clean` is the level that hot and cold samples deviate from.
    camera : its noise and its lowest integer; samples stay within the camera's range.
    hottest : height of the brightest hot samples, noise standard deviations.
    """
    count = round(math.exp(rng.uniform(math.log(FEWEST), math.log(MOST))))
    places = rng.integers(0, clean.size, count)
    level = clean.reshape(-1)[places].astype(np.float64)
    deviation = np.sqrt(camera.gain * level + camera.total_read_variance)
    up = np.exp(rng.uniform(math.log(WEAKEST_HOT), math.log(hottest), count))
    down = rng.uniform(COLD_DEVIATIONS[0], COLD_DEVIATIONS[1], count)
    hot = rng.random(count) < HOT_SHARE
    floor = -1.0 if camera.white_dn is None else -camera.black_dn / camera.white_dn
    values = np.where(hot, level + up * deviation, level - down * deviation)
    values[~hot & (rng.random(count) < ZERO_SHARE)] = max(floor, 0.0) if camera.white_dn is None else floor
    np.put(noisy, places, np.clip(values, floor, 1))
    return noisy
