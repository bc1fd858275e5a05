"""Mosaics of pictures and their noise, for what looks for single bad samples in them."""

from __future__ import annotations

import numpy as np

from rawkd.photo import CFAPattern, Mosaic
from rawkd.sensor.noise import NoiseModel


def mosaic_of(rgb: np.ndarray, pattern: CFAPattern) -> Mosaic:
    """Samples of a (H, W, 3) picture."""
    data = np.empty(rgb.shape[:2], np.float32)
    for site, colour in enumerate(pattern.colours):
        row, column = divmod(site, 2)
        data[row::2, column::2] = rgb[row::2, column::2, "RGB".index(colour)]
    return Mosaic(data, pattern)


def noisy(mosaic: Mosaic, noise: NoiseModel, seed: int = 0) -> Mosaic:
    rng = np.random.default_rng(seed)
    gain, read = noise.green_gain, noise.green_read_variance
    data = gain * rng.poisson(np.maximum(mosaic.data, 0) / gain) + rng.normal(0, np.sqrt(read), mosaic.data.shape)
    return Mosaic(np.minimum(data, 1).astype(np.float32), mosaic.pattern)


def places_of(pixels: np.ndarray) -> set[tuple[int, int]]:
    return {(int(row), int(column)) for row, column in pixels}
