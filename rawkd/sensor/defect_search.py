"""Find hot and dead pixels in a single frame, without mistaking stars, highlights or texture for them.

A defect is one sample. Anything that a lens projects is wider and also shows in the samples around it. So a sample
counts as a defect if all of these hold:

- It lies outside the range of the surrounding samples of its colour, by much more than these differ.
- Hardly any other sample nearby lies as far outside the range of its own neighbours.
- The adjacent samples, which have other colours, do not rise or fall with it, as they would under a point of light that
  the lens spreads over at least 1.5 pixels (full width at half maximum).
- The nearest samples of its own colour do not either, as they would under a point of light of a single colour. On
  bright ground, where such lights are rare, this and the step before need less proof.

A dark sample that lost half of the light of its neighbours needs less proof: texture has shallower specks. Next to
clipped samples, others do not count, because clipping hides how much their neighbours differ. All of it is our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import DoubleArray, FloatArray, Mosaic, PixelArray
from rawkd.sensor.defect_proof import LOOSE, NEAREST, SUSPECT, BoolArray, Evidence, IntArray, Steps, deviation_at
from rawkd.sensor.noise import NoiseModel

ALONE = 4.0
"""Least ratio of the height to that of other samples within `REACH_PX`. The highest of these is ignored, since it may
be a defect too."""
REACH_PX = 8
OF_NOISE = 3.5
"""Heights below this many noise standard deviations occur by chance and are ignored."""
CHUNK = 2048
"""Windows per batch."""
STRIP_ROWS = 8
"""Rows per batch, so that all buffers fit into the processor's cache."""


def find_defects(mosaic: Mosaic, noise: NoiseModel, saturation: float = 1.0, *, suspects: bool = False) -> PixelArray:
    """Return rows and columns of the hot and dead pixels of a mosaic, (n, 2), sorted by row, then column.

    Parameters
    ----------
    mosaic : (H, W) signal of any phase. noise : noise parameters of the photo.
    saturation : signal at which the sensor clips.
    suspects : whether to return pixels with less proof instead, many of them texture (`sensor.blind.recurring`).
    """
    data, pattern = mosaic.data, mosaic.pattern
    if min(data.shape) <= 2 * border_px(pattern.side):
        return np.empty((0, 2), np.int64)
    classes = pattern.class_of_site
    found = _outliers(data, noise.gain[classes], noise.read_variance[classes])
    evidence = Evidence.of(data, found, pattern, noise)
    if suspects:
        keep = evidence.meets(SUSPECT)
    else:
        keep = evidence.proves(saturation)
        keep[keep] = _alone(data, found[keep], evidence.height[keep], noise, NEAREST[pattern.side])
    return np.stack(np.divmod(found[keep], data.shape[1]), axis=1)


def border_px(side: int) -> int:
    """Return the number of outermost rows and columns that are not searched, because their samples lack neighbours.

    Parameters
    ----------
    side : of the cell of the CFA pattern.
    """
    return REACH_PX + NEAREST[side][1][0]


def _outliers(data: FloatArray, gain: DoubleArray, read: DoubleArray) -> IntArray:
    """Return flat indices of samples outside the range of the four nearest of their colour, as far as `LOOSE` asks for.

    Parameters
    ----------
    gain, read : (side, side) noise parameters of the sites of the cell.
    """
    (height, width), side, border = data.shape, len(gain), border_px(len(gain))
    inner = slice(border, width - border)
    sites = np.arange(inner.start, inner.stop) % side
    slope, least = (LOOSE.sigmas**2 * values[:, sites].astype(np.float32) for values in (gain, read))
    buffers = [np.empty((STRIP_ROWS, len(sites)), np.float32) for _ in range(4)]
    found = [np.empty(0, np.int64)]
    for top in range(border, height - border, STRIP_ROWS):
        rows = slice(top, min(top + STRIP_ROWS, height - border))
        low, high, beyond, limit = (buffer[: rows.stop - top] for buffer in buffers)
        centre = data[rows, inner]
        first, second, *others = (
            data[top + down : rows.stop + down, inner.start + right : inner.stop + right]
            for down, right in NEAREST[side]
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
            places = places[beyond.ravel()[places] > np.square(LOOSE.texture * span)]
            row, column = np.divmod(places, len(sites))
            found.append((row + top) * width + column + border)
    return np.concatenate(found)


def _alone(data: FloatArray, found: IntArray, height: FloatArray, noise: NoiseModel, nearest: Steps) -> BoolArray:
    """Whether at most one other sample near each candidate has a comparable height above chance, (n,)."""
    width, far = data.shape[1], nearest[1][0]
    reach = np.arange(-REACH_PX - far, REACH_PX + far + 1)
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
        chance = OF_NOISE * deviation_at(centre[:, REACH_PX + nearest[0][0], REACH_PX + nearest[0][1]], noise)
        keep[part] = (np.abs(height[part]) > ALONE * second) | (second < chance)
    return keep
