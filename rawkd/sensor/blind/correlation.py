"""Measure how much the noise of neighbouring pixels is correlated, and what that does to the bands of a block.

Lossy compression and noise reduction in the camera smooth the noise of each colour plane. A band of high frequencies
then holds only a part of the variance. We measure the correlation of direct neighbours in a plane and model it as the
smoothing of white noise by the taps (s, 1 - 2s, s) along rows and columns.

Texture is common to the two greens, and their noise is not. So we measure on Gr - Gb, in blocks where all planes
together show no texture. Fine texture leaves a rest that is correlated along one direction; smoothed noise is
correlated along both. So the weaker of the two decides. Our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawkd.photo import DoubleArray, Mosaic
from rawkd.sensor.blind.blocks import LUMA, NOISE, SIDE, dct, dct_basis, sampled_planes

SIGNIFICANT = 0.12
"""Correlation in the weaker direction above which noise counts as correlated. White noise on 71 photos has at
most 0.1 (docs/accuracy.md)."""
NOISE_LIKE = 1.3
"""Largest ratio of the luma energy to that of independent planes in a block without texture: one standard deviation."""
FEWEST_BLOCKS = 48
"""Fewest blocks without texture. The standard error of the correlation is then 0.03, a quarter of `SIGNIFICANT`."""
LARGEST = 0.7
"""Largest correlation that the three taps can have (s = 0.29)."""


@dataclass(frozen=True)
class Correlation:
    """Correlation of the noise of direct neighbours in a colour plane; 0 in both directions for white noise."""

    horizontal: float = 0.0
    vertical: float = 0.0

    @property
    def significant(self) -> bool:
        """Whether the noise is certainly not white."""
        return min(self.horizontal, self.vertical) >= SIGNIFICANT

    def shares(self, scale: int) -> tuple[float, float]:
        """Return the mean energy of the bands `NOISE` and `LUMA` over the variance; exactly 1 if not significant.

        Parameters
        ----------
        scale : that of the blocks, 1 or 2 (`block_statistics`).
        """
        if not self.significant:
            return 1.0, 1.0
        energy = np.outer(_energies(self.vertical, scale), _energies(self.horizontal, scale)).reshape(-1)
        return float(energy[NOISE].mean()), float(energy[LUMA].mean())


WHITE = Correlation()


def measure_correlation(mosaic: Mosaic, *, saturation: float, num_blocks: int) -> Correlation:
    """Return the correlation of a Bayer mosaic's noise; `WHITE` if it is not significant or cannot be measured.

    Parameters
    ----------
    mosaic, saturation, num_blocks : as for `block_statistics`.
    """
    if mosaic.pattern.kind != "bayer":
        return WHITE
    coefficients = sampled_planes(mosaic, saturation=saturation, num_blocks=num_blocks) @ dct_basis()
    of_planes = np.square(coefficients[:, :, LUMA]).mean(axis=(1, 2))
    of_luma = np.square(coefficients[:, :, LUMA].mean(axis=1)).mean(axis=1)
    noise_like = 4 * of_luma <= NOISE_LIKE * of_planes
    greens = np.square(coefficients[noise_like, 1] - coefficients[noise_like, 2], dtype=np.float64)
    strength = greens[:, 1:].mean(axis=1)
    greens, strength = greens[strength > 0], strength[strength > 0]
    if len(greens) < FEWEST_BLOCKS:
        return WHITE
    spectrum = (greens / strength[:, None]).mean(axis=0).reshape(SIDE, SIDE)
    # rows and columns of frequency 0 hold row noise and gradients
    found = Correlation(_neighbour(spectrum[1:].mean(axis=0)), _neighbour(spectrum[:, 1:].mean(axis=1)))
    return found if found.significant else WHITE


def _neighbour(spectrum: DoubleArray) -> float:
    """Return the correlation of neighbours, from (8,) mean energies by frequency of which the first is not used.

    The energies are linear in the autocovariance: we solve for its values at distances 0, 1 and 2.
    """
    basis = dct()
    ones = [np.eye(SIDE, k=lag) + np.eye(SIDE, k=-lag) for lag in (1, 2)]
    columns = np.stack([np.ones(SIDE), *(np.einsum("ui,ij,uj->u", basis, one, basis) for one in ones)], axis=1)
    variance, neighbours, _ = np.linalg.lstsq(columns[1:], spectrum[1:], rcond=None)[0]
    return float(neighbours / variance) if variance > 0 else 0.0


def _energies(correlation: float, scale: int) -> DoubleArray:
    """Return the energy at each frequency of a row of 8 pixels of unit variance, (8,)."""
    correlation = min(max(correlation, 0.0), LARGEST)
    # (2s - 4s^2) / (1 - 4s + 6s^2) = correlation
    half, square = 2 * correlation + 1, 6 * correlation + 4
    s = (half - np.sqrt(half**2 - correlation * square)) / square
    taps = np.array([s, 1 - 2 * s, s])
    covariance = np.convolve(taps, taps)[2:] / (taps @ taps)
    pixels = np.abs(np.subtract.outer(*2 * [np.arange(scale * SIDE)]))
    matrix = np.append(covariance, 0)[np.minimum(pixels, 3)]
    binned = np.kron(np.eye(SIDE), np.full((1, scale), 1 / scale))
    basis = dct() @ binned
    return np.asarray(scale * np.einsum("ui,ij,uj->u", basis, matrix, basis))
