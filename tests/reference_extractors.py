"""BRISQUE's 36 features and PIQE's score by their published definitions, in numpy: what the losses are tested against.

Sources: as in `rawkd.training.losses.no_reference`, which has the constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray
from rawkd.render.color import LUMA
from rawkd.training.losses.no_reference import (
    ACTIVE,
    HALVING,
    IMPAIRED,
    NOISY,
    SHIFTS,
    WINDOW_PX,
    BlockMaps,
    gaussian_window,
    shape_table,
)

BLOCK_PX, SEGMENT_PX = 16, 6
NO_CONTRAST = 1e-9
"""MSCN coefficients below it are roundings of flat areas and count as 0."""


def luma(rgb: NDArray[Any]) -> DoubleArray:
    """(H, W, 3) gamma-encoded colour -> (H, W) float64 in the same unit."""
    return np.asarray(rgb @ np.array(LUMA))


def brisque_features(grey: NDArray[Any]) -> DoubleArray:
    """BRISQUE's features: of the picture, then of its half size, shape and variance, and four fits to products.

    Each fit of an asymmetric generalised Gaussian gives shape, mean and the variances of its two sides. An empty side
    has the variance 0, and no contrast at all the last shape of the table (our choice: nothing is defined there).

    Parameters
    ----------
    grey : (H, W) luma, 0..255.

    Returns
    -------
    (36,) float64.

    Raises
    ------
    ValueError: if it is no picture, or not finite.
    """
    grey = _checked(grey)
    features: list[float] = []
    for _ in range(2):
        coefficients = mscn_coefficients(grey, "constant")
        features += fit_symmetric(coefficients)
        for shift in SHIFTS:
            features += fit_asymmetric(coefficients * np.roll(coefficients, shift, (0, 1)))
        grey = _half_size(_half_size(grey).T).T
    return np.array(features)


def fit_symmetric(values: DoubleArray) -> tuple[float, float]:
    """Shape and variance of the generalised Gaussian of mean 0 with the values' moments."""
    variance, distance = float(np.mean(values**2)), float(np.mean(np.abs(values)))
    shapes, ratios = shape_table()
    if not distance:
        return float(shapes[-1]), 0.0
    return float(shapes[np.abs(variance / distance**2 - 1 / ratios).argmin()]), variance


def fit_asymmetric(values: DoubleArray) -> tuple[float, float, float, float]:
    """Shape, mean, left and right variance of the asymmetric generalised Gaussian with the values' moments."""
    sides = values[values < 0], values[values > 0]
    left, right = (float(np.sqrt(np.mean(side**2))) if len(side) else 0.0 for side in sides)
    shapes, ratios = shape_table()
    if not left + right:
        return float(shapes[-1]), 0.0, 0.0, 0.0
    balance = (left**3 + right**3) * (left + right) / (left**2 + right**2) ** 2
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2) * balance
    place = np.abs(ratio - ratios).argmin()
    return float(shapes[place]), float((right - left) * np.sqrt(ratios[place])), left**2, right**2


def piqe(grey: NDArray[Any]) -> float:
    """PIQE's score, about 0 (excellent) to 100 (bad); a picture without active blocks has 100.

    Parameters
    ----------
    grey : (H, W), not negative, in any unit: its maximum is made 255, and it is rounded.

    Raises
    ------
    ValueError: if it is no picture, not finite, or negative.
    """
    grey = _checked(grey)
    if grey.min() < 0:
        raise ValueError("a picture with negative values has no PIQE: clip it")
    return float(piqe_of(block_maps(np.rint(255 * (grey / (grey.max() or 1))))))


def piqe_of(maps: BlockMaps) -> Any:
    """The score of block maps, of their last two axes; numpy or torch."""
    distortion = maps.impairment * (1 - maps.variance) + maps.noise * maps.variance
    return 100 * (distortion.sum((-2, -1)) + 1) / (maps.activity.sum((-2, -1)) + 1)


def block_maps(grey: NDArray[Any]) -> BlockMaps:
    """PIQE's tests of the blocks of (H, W) values 0..255, mirrored up to whole blocks.

    A block is active if its variance exceeds `ACTIVE`, impaired if any segment of its four edges deviates by less than
    `IMPAIRED`, and noisy if its deviation exceeds `NOISY` times the relative difference between it and the ratio of its
    two middle columns' deviation to that of all others.
    """
    grey = _checked(grey)
    margins = [(0, -size % BLOCK_PX) for size in grey.shape]
    coefficients = mscn_coefficients(np.pad(grey, margins, mode="symmetric"), "edge")
    rows, columns = (size // BLOCK_PX for size in coefficients.shape)
    blocks = coefficients.reshape(rows, BLOCK_PX, columns, BLOCK_PX).swapaxes(1, 2)
    variance = blocks.var(axis=(2, 3), ddof=1)
    active = variance > ACTIVE
    edges = np.stack([blocks[..., 0, :], blocks[..., -1, :], blocks[..., 0], blocks[..., -1]], axis=2)
    segments = np.lib.stride_tricks.sliding_window_view(edges, SEGMENT_PX, axis=3)
    impaired = segments.std(axis=4, ddof=1).min(axis=(2, 3)) < IMPAIRED
    middle = slice(BLOCK_PX // 2 - 1, BLOCK_PX // 2 + 1)
    centre = blocks[..., middle].std(axis=(2, 3), ddof=1)
    surround = np.delete(blocks, middle, axis=3).std(axis=(2, 3), ddof=1)
    deviation = np.sqrt(variance)
    contrast = np.divide(centre, surround, out=np.zeros_like(centre), where=surround > 0)
    larger = np.maximum(np.maximum(deviation, contrast), np.finfo(np.float64).tiny)
    noisy = deviation > NOISY * np.abs(deviation - contrast) / larger
    return BlockMaps(active.astype(float), (active & impaired).astype(float), (active & noisy).astype(float), variance)


def _checked(grey: NDArray[Any]) -> DoubleArray:
    if grey.ndim != 2 or not grey.size:
        raise ValueError(f"an array of {grey.shape} is no grey picture")
    if not np.isfinite(grey).all():
        raise ValueError("values that are not finite cannot be scored")
    return grey.astype(np.float64)


def mscn_coefficients(grey: DoubleArray, border: Any) -> DoubleArray:
    """(I - mean) / (deviation + 1), mean and deviation under the window; beyond the picture "constant" 0 or "edge"."""
    mean = _blurred(grey, border)
    deviation = np.sqrt(np.abs(_blurred(grey**2, border) - mean**2))
    coefficients: DoubleArray = (grey - mean) / (deviation + 1)
    coefficients[np.abs(coefficients) < NO_CONTRAST] = 0
    return coefficients


def _blurred(picture: DoubleArray, border: Any) -> DoubleArray:
    padded = np.pad(picture, WINDOW_PX // 2, mode=border)
    for axis in (0, 1):
        padded = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_PX, axis) @ gaussian_window()
    return padded


def _half_size(picture: DoubleArray) -> DoubleArray:
    """(H, W) -> (ceil(H / 2), W), edges mirrored."""
    taps = len(HALVING)
    padded = np.pad(picture, ((taps // 2 - 1, taps // 2 - 1 + len(picture) % 2), (0, 0)), mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, taps, 0)[::2] @ (np.array(HALVING) / 256)
