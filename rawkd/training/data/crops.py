"""Where the crops of clean pictures lie: at full or half size, and where there is something to learn.

Most of a photograph is smooth, and a network soon knows how to smooth. Of a few places drawn at random the one with the
most detail is taken, so smooth ones stay, but fewer. Our choice; docs/training.md says what it gains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HALVED = (0.3,)
"""Shares of crops whose picture is halved at least once, at least twice, and so on: halved pictures are sharper."""


def draw_window(
    picture: NDArray[Any], side_px: int, tries: int, rng: np.random.Generator, halved: tuple[float, ...] = HALVED
) -> tuple[NDArray[Any], int]:
    """The most detailed of `tries` random windows of an (H, W, 3) picture, and how often it is to be halved.

    Parameters
    ----------
    halved : as `HALVED`.

    Returns
    -------
    (side * 2^n, side * 2^n, 3) of the picture itself, and n, less where the picture is too small.
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
    """Mean absolute difference of neighbours along rows and along columns of every other green sample of (H, W, 3)."""
    green = picture[::2, ::2, 1].astype(np.float32)
    return float(np.abs(np.diff(green, axis=0)).mean() + np.abs(np.diff(green, axis=1)).mean())


def sum_of_fours(picture: NDArray[Any]) -> NDArray[np.uint32]:
    """(2H, 2W, 3) uint8 or uint16 -> (H, W, 3), four times the mean of 2x2 samples."""
    wide = picture.astype(np.uint32)
    total: NDArray[np.uint32] = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return total


def half_size(picture: NDArray[Any]) -> NDArray[Any]:
    """(2H, 2W, 3) uint8 or uint16 -> (H, W, 3) of the same kind, the mean of 2x2 samples, rounded."""
    return ((sum_of_fours(picture) + 2) >> 2).astype(picture.dtype)
