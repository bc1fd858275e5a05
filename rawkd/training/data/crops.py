"""Choose positions and scales of the crops of clean pictures, with a preference for detail.

Most of a photograph is smooth, and networks soon learn to denoise smooth areas. We draw a few random positions and use
the one with the most detail, so smooth crops become rarer but remain. Our choice; docs/training.md states the gain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HALVED = (0.3,)
"""Fractions of crops whose picture is halved at least once, at least twice, and so on. Halved pictures are sharper."""


def draw_window(
    picture: NDArray[Any], side_px: int, tries: int, rng: np.random.Generator, halved: tuple[float, ...] = HALVED
) -> tuple[NDArray[Any], int]:
    """Return the most detailed of `tries` random windows of an (H, W, 3) picture, and how often to halve it.

    Parameters
    ----------
    side_px : side of the crop after halving. halved : as `HALVED`.

    Returns
    -------
    The (side * 2^n, side * 2^n, 3) window and n; n is smaller if the picture is too small.
    """
    drawn = rng.random()
    halvings = sum(drawn < share for share in halved)
    while halvings and min(picture.shape[:2]) < side_px << halvings:
        halvings -= 1
    window_px = side_px << halvings
    windows = []
    for _ in range(tries):
        top, left = (int(rng.integers(0, size - window_px + 1)) for size in picture.shape[:2])
        windows.append(picture[top : top + window_px, left : left + window_px])
    return (max(windows, key=detail) if tries > 1 else windows[0]), halvings


def detail(picture: NDArray[Any]) -> float:
    """Return a measure of the detail of an (H, W, 3) picture.

    It is the mean absolute difference of neighbours in every other row and column of green, summed over both axes.
    """
    green = picture[::2, ::2, 1].astype(np.float32)
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def sum_of_fours(picture: NDArray[Any]) -> NDArray[np.uint32]:
    """Return the sums of 2x2 samples, (H, W, 3), of a (2H, 2W, 3) picture, uint8 or uint16."""
    wide = picture.astype(np.uint32)
    total: NDArray[np.uint32] = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return total


def half_size(picture: NDArray[Any]) -> NDArray[Any]:
    """Return the rounded means of 2x2 samples, (H, W, 3), of a (2H, 2W, 3) picture; uint8 or uint16 as the input."""
    return ((sum_of_fours(picture) + 2) >> 2).astype(picture.dtype)
