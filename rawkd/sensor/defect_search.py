"""Find hot and dead pixels in a single frame, without mistaking stars, highlights or texture for them.

A defect is one sample. Anything that a lens projects is wider and also shows in the adjacent samples, which have
another colour. So a sample counts as a defect if all of these hold:

- It lies outside the range of the surrounding samples of its colour, by much more than these differ.
- Hardly any other sample nearby lies as far outside the range of its own neighbours.
- The adjacent samples do not rise or fall with it, as they would under a point of light that the lens spreads over at
  least 1.5 pixels.

A dark sample needs less proof than a bright one, since stars and glints are bright, but it must lose at least half of
the light of its neighbours. All of it is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Mosaic, PixelArray
from rawkd.sensor.noise import NoiseModel

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Steps = tuple[tuple[int, int], ...]
"""Steps in (rows, columns) from a sample."""


@dataclass(frozen=True)
class Limits:
    """What a sample must reach to count as a defect.

    Attributes
    ----------
    sigmas : least distance from the range of its neighbours (its height), noise standard deviations.
    texture : least height, in widths of that range.
    shared : largest sum of the changes of the four adjacent samples in the same direction, as a fraction of the height;
        0.8 for the sharpest star.
    sure_sigmas : standard errors by which that sum must stay below its limit.
    """

    sigmas: float
    texture: float
    shared: float
    sure_sigmas: float


BRIGHT = Limits(sigmas=9.0, texture=2.5, shared=0.2, sure_sigmas=1.0)
DARK = Limits(sigmas=5.0, texture=1.5, shared=0.5, sure_sigmas=0.0)
DEAD = 0.5
"""Least height of a dark sample, as a fraction of the darkest of its neighbours. A dead sample counts no light; a cold
one lacks a fixed amount, so it shows only in the dark. Texture has shallower specks."""
ALONE = 7.0
"""Least ratio of the height to that of other samples within `REACH_PX`. The highest of these is ignored, since it may
be a defect too."""
REACH_PX = 8
OF_NOISE = 3.5
"""Heights below this many noise standard deviations occur by chance and are ignored."""
CHUNK = 2048
"""Windows per batch."""
STRIP_ROWS = 8
"""Rows per batch, so that all buffers fit into the processor's cache."""

BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))
NEAREST = {2: ((-2, 0), (2, 0), (0, -2), (0, 2)), 6: ((-3, -3), (3, 3), (-3, 3), (3, -3))}
"""Steps from any sample to near ones of its colour and site, by the side of the cell."""


def find_defects(mosaic: Mosaic, noise: NoiseModel) -> PixelArray:
    """Return rows and columns of the hot and dead pixels of a mosaic, (n, 2), sorted by row, then column.

    Parameters
    ----------
    mosaic : (H, W) signal of any phase. noise : noise parameters of the photo.
    """
    data, pattern = mosaic.data, mosaic.pattern
    nearest = NEAREST[pattern.side]
    if min(data.shape) <= 2 * _border_px(nearest):
        return np.empty((0, 2), np.int64)
    classes = pattern.class_of_site
    found = _outliers(data, noise.gain[classes], noise.read_variance[classes], nearest)
    found, height = _leaving_their_range(data, found, pattern, noise)
    for holds in (_nothing_beside, _alone):
        keep = holds(data, found, height, noise, nearest)
        found, height = found[keep], height[keep]
    return np.stack(np.divmod(found, data.shape[1]), axis=1)


def border_px(pattern: CFAPattern) -> int:
    """Return the number of outermost rows and columns that are not searched, because their samples lack neighbours."""
    return _border_px(NEAREST[pattern.side])


def _border_px(nearest: Steps) -> int:
    return REACH_PX + nearest[1][0]


def _outliers(data: FloatArray, gain: DoubleArray, read: DoubleArray, nearest: Steps) -> IntArray:
    """Return flat indices of samples far outside the range of the four at the `nearest` steps.

    "Far" is what `DARK` asks for.

    Parameters
    ----------
    gain, read : (side, side) noise parameters of the sites of the cell.
    """
    (height, width), side, border = data.shape, len(gain), _border_px(nearest)
    inner = slice(border, width - border)
    sites = np.arange(inner.start, inner.stop) % side
    slope, least = (DARK.sigmas**2 * values[:, sites].astype(np.float32) for values in (gain, read))
    buffers = [np.empty((STRIP_ROWS, len(sites)), np.float32) for _ in range(4)]
    found = [np.empty(0, np.int64)]
    for top in range(border, height - border, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height - border))
        low, high, beyond, limit = (buffer[: rows.stop - top] for buffer in buffers)
        centre = data[rows, inner]
        first, second, *others = (
            data[top + down : rows.stop + down, inner.start + right : inner.stop + right] for down, right in nearest
        )
        np.minimum(first, second, out=low)
        np.maximum(first, second, out=high)
        for beside in others:
            np.minimum(low, beside, out=low)
            np.maximum(high, beside, out=high)
        np.clip(centre, low, high, out=beyond)
        for parity in range(side):
            site, part = (top + parity) % side, slice(parity, None, side)
            np.multiply(beyond[part], slope[site], out=limit[part])
            limit[part] += least[site]
            np.maximum(limit[part], least[site], out=limit[part])
        np.subtract(centre, beyond, out=beyond)
        np.square(beyond, out=beyond)
        places = np.flatnonzero(beyond > limit)
        if len(places):
            span = high.ravel()[places] - low.ravel()[places]
            places = places[beyond.ravel()[places] > np.square(DARK.texture * span)]
            row, column = np.divmod(places, len(sites))
            found.append((row + top) * width + column + border)
    return np.concatenate(found)


def _leaving_their_range(
    data: FloatArray, found: IntArray, pattern: CFAPattern, noise: NoiseModel
) -> tuple[IntArray, FloatArray]:
    """Keep samples far outside the range of all surrounding samples of their colour.

    Returns
    -------
    Their flat indices, (n,), and their heights: signed distances from the range, negative if darker.
    """
    width, side = data.shape[1], pattern.side
    value = data.ravel()[found]
    low, high = np.empty_like(value), np.empty_like(value)
    row, column = np.divmod(found, width)
    site = row % side * side + column % side
    for each in np.unique(site).tolist():
        here = site == each
        low[here], high[here] = _range(data, found[here], _same_colour(pattern, *divmod(each, side)))
    height = value - np.clip(value, low, high)
    sigma, span = _sigma(np.clip(value, low, high), noise), high - low
    far = [np.abs(height) > np.maximum(limits.sigmas * sigma, limits.texture * span) for limits in (BRIGHT, DARK)]
    keep = np.where(height > 0, far[0], far[1] & (-height > DEAD * low))
    return found[keep], height[keep]


def _same_colour(pattern: CFAPattern, row: int, column: int) -> Steps:
    """Return the steps to the samples of the same colour up to two rows and columns away, and to the nearest ones."""
    around = range(-2, 3)
    own = pattern.colour_at(row, column)
    steps = [
        (down, right)
        for down in around
        for right in around
        if (down, right) != (0, 0) and pattern.colour_at(row + down, column + right) == own
    ]
    return (*steps, *NEAREST[pattern.side])


def _nothing_beside(
    data: FloatArray, found: IntArray, height: FloatArray, noise: NoiseModel, nearest: Steps
) -> BoolArray:
    """Whether the four adjacent samples do not rise or fall with each candidate, (n,).

    Their rise is measured against samples of their own colour farther out.
    """
    bright = height > 0
    texture, shared, sure_sigmas = (
        np.where(bright, getattr(BRIGHT, name), getattr(DARK, name)) for name in ("texture", "shared", "sure_sigmas")
    )
    flat, width = data.ravel(), data.shape[1]
    rise, level = np.zeros_like(height), np.zeros_like(height)
    keep = np.ones(len(found), bool)
    for down, right in BESIDE:
        near = flat[found + down * width + right]
        # of their colour, but not on the other side of the candidate
        outwards = [(down + y, right + x) for y, x in nearest if (y, x) != (-2 * down, -2 * right)]
        far = np.stack([flat[found + y * width + x] for y, x in outwards])
        rise += near - far.mean(axis=0)
        level = np.maximum(level, near)
        keep &= np.abs(height) > texture * np.ptp(far, axis=0)
    # four samples and four means; neighbouring means share some samples
    error = np.sqrt(4 + 4 / len(outwards)) * _sigma(level, noise)
    return np.asarray(keep & (np.sign(height) * rise + sure_sigmas * error < shared * np.abs(height)))


def _alone(data: FloatArray, found: IntArray, height: FloatArray, noise: NoiseModel, nearest: Steps) -> BoolArray:
    """Whether at most one other sample near each candidate has a comparable height above chance, (n,)."""
    width, far = data.shape[1], nearest[1][0]
    reach = np.arange(-_border_px(nearest), _border_px(nearest) + 1)
    window = (reach[:, None] * width + reach).ravel()
    keep = np.empty(len(found), bool)
    for start in range(0, len(found), CHUNK):
        part = slice(start, start + CHUNK)
        patch = data.ravel()[found[part, None] + window].reshape(-1, len(reach), len(reach))
        size = len(reach) - 2 * far
        centre = patch[:, far:-far, far:-far]
        beside = [patch[:, far + y :, far + x :][:, :size, :size] for y, x in nearest]
        low, high = (extreme.reduce(beside) for extreme in (np.minimum, np.maximum))
        others = np.abs(centre - np.clip(centre, low, high))
        others[:, REACH_PX, REACH_PX] = 0
        second = np.partition(others.reshape(len(patch), (2 * REACH_PX + 1) ** 2), -2, axis=1)[:, -2]
        chance = OF_NOISE * _sigma(centre[:, REACH_PX + nearest[0][0], REACH_PX + nearest[0][1]], noise)
        keep[part] = (np.abs(height[part]) > ALONE * second) | (second < chance)
    return keep


def _range(data: FloatArray, found: IntArray, steps: Steps) -> tuple[FloatArray, FloatArray]:
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
