"""Regular patterns for generated scenes: stripes, weaves, and bars as fine as the pixels, (side, side) of 0..1.

Which patterns, their periods and their shares are our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import FloatArray

FINEST_WEAVE_PX, COARSEST_WEAVE_PX = 2.0, 8.0
"""Range of the periods of weaves."""
WIDEST_BAR_PX = 3
"""Width of the widest bars."""


def stripes(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return hard-edged stripes of changing period at a random angle, like lines or the stems of letters."""
    y, x = np.mgrid[0:side_px, 0:side_px].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 40)
    phase = (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 3) * (x * y) / side_px**2
    return np.asarray(np.clip(np.sin(2 * np.pi * phase) * period / 4 + 0.5, 0, 1), np.float32)


def weave(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return fine waves at a random angle, like cloth, grilles or roof tiles; half of them are crossed by others.

    Periods go down to the finest that pixels can represent. Few patterns in photographs are finer than three pixels, so
    networks that train on photographs alone remove or change them.
    """
    y, x = np.mgrid[0:side_px, 0:side_px].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    sine, cosine = np.sin(angle), np.cos(angle)
    period = np.exp(rng.uniform(np.log(FINEST_WEAVE_PX), np.log(COARSEST_WEAVE_PX)))
    bend = rng.uniform(0, 2) * (x * y) / side_px**2
    field = np.sin(2 * np.pi * ((x * cosine + y * sine) / period + bend))
    if rng.random() < 0.5:
        field = field * np.sin(2 * np.pi * ((y * cosine - x * sine) / (period * rng.uniform(0.8, 1.25)) + bend))
    return np.asarray(0.5 + 0.5 * field, np.float32)


def bars(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return hard bars or checks on the grid of the pixels, 1 to 3 px wide, in a rectangle or everywhere.

    Bars of 1 px are the strongest pattern that a sensor can record: at low gains they are hundreds of deviations of the
    noise high. Networks that had seen none multiplied them up to 1e17 times (docs/training-log.md).
    """
    widths = rng.integers(1, WIDEST_BAR_PX + 1, 2)
    row, column = ((np.arange(side_px) + rng.integers(0, 12)) // width % 2 for width in widths)
    kind = rng.random()
    field = np.add.outer(row * (kind < 0.6), column * (kind >= 0.3)) % 2
    if rng.random() < 0.5:
        top, left = rng.integers(1, side_px // 2, 2)
        field[:top], field[:, :left], field[top + side_px // 2 :] = 0, 0, 0
    return np.asarray(field, np.float32)
