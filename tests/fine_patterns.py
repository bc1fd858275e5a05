"""Patterns as fine as the pixels: the strongest that a sensor records, hundreds of deviations high at low gains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rawkd.photo import FloatArray

DARK, BRIGHT = 0.01, 0.9


def fine_patterns(y: FloatArray, x: FloatArray) -> Iterator[FloatArray]:
    """Mosaics at the pixels (y, x): bars and checks of 1 to 3 px, slanted stripes, one odd site of four."""
    y, x = y.astype(int), x.astype(int)
    for width in (1, 2, 3):
        for odd in (x // width, y // width, x // width + y // width):
            yield _between(odd % 2 > 0)
    for frequency in np.random.default_rng(5).uniform(-0.5, 0.5, (6, 2)):
        yield _between(np.sin(2 * np.pi * (frequency[0] * x + frequency[1] * y) + 0.3) > 0)
    for top in (0, 1):
        for left in (0, 1):
            odd_site = _between((y % 2 == top) & (x % 2 == left))
            yield np.maximum(odd_site, 0.4 * (x > x.mean())).astype(np.float32)


def _between(is_bright: np.ndarray) -> FloatArray:
    return np.where(is_bright, BRIGHT, DARK).astype(np.float32)
