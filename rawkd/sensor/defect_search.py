"""Find hot and dead pixels in a single frame, without mistaking stars, highlights or texture for them.

A defect is one sample. Anything that a lens projects is wider and also shows in the adjacent samples, which have
another colour. So a sample counts as a defect if all of these hold:

- It lies outside the range of the surrounding samples of its colour, by much more than these differ.
- Hardly any other sample nearby lies as far outside the range of its own neighbours.
- The adjacent samples do not rise with it, as they would under a point of light that the lens spreads over at least
  1.5 pixels.

All of it is our choice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray, Mosaic, PixelArray
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEAST_SIGMAS = 9.0
"""Least distance of a defect from the range of its neighbours (its height), in noise standard deviations."""
TEXTURE = 2.5
"""Least height of a defect, in widths of that range."""
ALONE = 7.0
"""Least ratio of the height to that of other samples within `REACH_PX`. The highest of these is ignored, since it may
be a defect too."""
REACH_PX = 8
OF_NOISE = 3.5
"""Heights below this many noise standard deviations occur by chance and are ignored."""
SHARED = 0.2
"""Largest sum of the rises of the four adjacent samples, as a fraction of the height; 0.8 for the sharpest star."""
SURE_SIGMAS = 1.0
"""Standard errors by which the sum must stay below that limit."""
BORDER_PX = REACH_PX + 2
"""Number of outermost rows and columns that are not searched, because their samples lack neighbours."""
CHUNK = 2048
"""Windows per batch."""
STRIP_ROWS = 8
"""Rows per batch, so that all buffers fit into the processor's cache."""

BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
SAME_COLOUR = ((-2, -2), (-2, 0), (-2, 2), (0, -2), (0, 2), (2, -2), (2, 0), (2, 2))
DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def find_defects(mosaic: Mosaic, noise: NoiseModel) -> PixelArray:
    """Return rows and columns of the hot and dead pixels of a mosaic, (n, 2), sorted by row, then column.

    Parameters
    ----------
    mosaic : (H, W) signal of any phase. noise : noise parameters of the photo.
    """
    data = mosaic.data
    if min(data.shape) <= 2 * BORDER_PX:
        return np.empty((0, 2), np.int64)
    planes = mosaic.pattern.class_of_site
    gain, read = noise.gain[planes], noise.read_variance[planes]
    found = _outliers(data, gain, read)
    found, height = _leaving_their_range(data, found, planes, noise)
    for holds in (_nothing_beside, _alone):
        keep = holds(data, found, height, noise)
        found, height = found[keep], height[keep]
    return np.stack(np.divmod(found, data.shape[1]), axis=1)


def _outliers(data: FloatArray, gain: DoubleArray, read: DoubleArray) -> IntArray:
    """Return flat indices of samples far outside the range of the four nearest of their colour in row and column.

    "Far" is `LEAST_SIGMAS` of the noise and `TEXTURE` times the width of the range.

    Parameters
    ----------
    gain, read : (2, 2) noise parameters of the sites of the Bayer cell.
    """
    height, width = data.shape
    inner = slice(BORDER_PX, width - BORDER_PX)
    sites = np.arange(inner.start, inner.stop) % 2
    slope, least = (LEAST_SIGMAS**2 * values[:, sites].astype(np.float32) for values in (gain, read))
    buffers = [np.empty((STRIP_ROWS, len(sites)), np.float32) for _ in range(4)]
    found = [np.empty(0, np.int64)]
    for top in range(BORDER_PX, height - BORDER_PX, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height - BORDER_PX))
        low, high, beyond, limit = (buffer[: rows.stop - top] for buffer in buffers)
        centre = data[rows, inner]
        up, down = data[top - 2 : rows.stop - 2, inner], data[top + 2 : rows.stop + 2, inner]
        np.minimum(up, down, out=low)
        np.maximum(up, down, out=high)
        for shift in (-2, 2):
            beside = data[rows, inner.start + shift : inner.stop + shift]
            np.minimum(low, beside, out=low)
            np.maximum(high, beside, out=high)
        np.clip(centre, low, high, out=beyond)
        for parity in (0, 1):
            site = (top + parity) % 2
            np.multiply(beyond[parity::2], slope[site], out=limit[parity::2])
            limit[parity::2] += least[site]
            np.maximum(limit[parity::2], least[site], out=limit[parity::2])
        np.subtract(centre, beyond, out=beyond)
        np.square(beyond, out=beyond)
        places = np.flatnonzero(beyond > limit)
        if len(places):
            span = high.ravel()[places] - low.ravel()[places]
            places = places[beyond.ravel()[places] > np.square(TEXTURE * span)]
            row, column = np.divmod(places, len(sites))
            found.append((row + top) * width + column + BORDER_PX)
    return np.concatenate(found)


def _leaving_their_range(
    data: FloatArray, found: IntArray, planes: IntArray, noise: NoiseModel
) -> tuple[IntArray, FloatArray]:
    """Keep samples far outside the range of all surrounding samples of their colour.

    Returns
    -------
    Their flat indices, (n,), and their heights: signed distances from the range, negative if darker.
    """
    width = data.shape[1]
    value, low, high = data.ravel()[found], *_range(data, found, SAME_COLOUR)
    row, column = np.divmod(found, width)
    green = np.flatnonzero(np.isin(planes, (1, 2))[row % 2, column % 2])
    low_diagonal, high_diagonal = _range(data, found[green], DIAGONAL)
    low[green] = np.minimum(low[green], low_diagonal)
    high[green] = np.maximum(high[green], high_diagonal)
    height = value - np.clip(value, low, high)
    least = LEAST_SIGMAS * _sigma(np.clip(value, low, high), noise)
    keep = np.abs(height) > np.maximum(least, TEXTURE * (high - low))
    return found[keep], height[keep]


def _nothing_beside(data: FloatArray, found: IntArray, height: FloatArray, noise: NoiseModel) -> BoolArray:
    """Whether the four adjacent samples do not rise or fall with each candidate, (n,).

    Their rise is measured against samples of their own colour farther out.
    """
    flat, width = data.ravel(), data.shape[1]
    rise, level = np.zeros_like(height), np.zeros_like(height)
    keep = np.ones(len(found), bool)
    for down, right in BESIDE:
        near = flat[found + down * width + right]
        outwards = ((3 * down, 3 * right), (down + 2 * right, right + 2 * down), (down - 2 * right, right - 2 * down))
        far = np.stack([flat[found + y * width + x] for y, x in outwards])
        rise += near - far.mean(axis=0)
        level = np.maximum(level, near)
        keep &= np.abs(height) > TEXTURE * np.ptp(far, axis=0)
    # four samples and four means of three; neighbouring means share some
    error = np.sqrt(4 + 4 / 3) * _sigma(level, noise)
    return np.asarray(keep & (np.sign(height) * rise + SURE_SIGMAS * error < SHARED * np.abs(height)))


def _alone(data: FloatArray, found: IntArray, height: FloatArray, noise: NoiseModel) -> BoolArray:
    """Whether at most one other sample near each candidate has a comparable height above chance, (n,)."""
    width = data.shape[1]
    reach = np.arange(-REACH_PX - 2, REACH_PX + 3)
    window = (reach[:, None] * width + reach).ravel()
    keep = np.empty(len(found), bool)
    for start in range(0, len(found), CHUNK):
        part = slice(start, start + CHUNK)
        patch = data.ravel()[found[part, None] + window].reshape(-1, len(reach), len(reach))
        centre = patch[:, 2:-2, 2:-2]
        beside = (patch[:, :-4, 2:-2], patch[:, 4:, 2:-2], patch[:, 2:-2, :-4], patch[:, 2:-2, 4:])
        low, high = (extreme.reduce(beside) for extreme in (np.minimum, np.maximum))
        others = np.abs(centre - np.clip(centre, low, high))
        others[:, REACH_PX, REACH_PX] = 0
        second = np.partition(others.reshape(len(patch), (2 * REACH_PX + 1) ** 2), -2, axis=1)[:, -2]
        chance = OF_NOISE * _sigma(centre[:, REACH_PX - 2, REACH_PX], noise)
        keep[part] = (np.abs(height[part]) > ALONE * second) | (second < chance)
    return keep


def _range(data: FloatArray, found: IntArray, steps: tuple[tuple[int, int], ...]) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and the largest of the samples at the given (row, column) steps from each index."""
    flat, width = data.ravel(), data.shape[1]
    low = flat[found + steps[0][0] * width + steps[0][1]]
    high = low.copy()
    for down, right in steps[1:]:
        value = flat[found + down * width + right]
        np.minimum(low, value, out=low)
        np.maximum(high, value, out=high)
    return low, high


def _sigma(level: FloatArray, noise: NoiseModel) -> FloatArray:
    """Return the noise standard deviation at a level, for the noisiest plane."""
    gain, read = np.float32(noise.gain.max()), np.float32(noise.read_variance.max())
    return np.asarray(np.sqrt(gain * np.maximum(level, 0) + read))
