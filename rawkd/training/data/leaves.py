"""Generate clean scenes with the dead-leaves model, so that networks can be trained without photographs.

Sources: dead leaves with a power law of radii (exponent 3), Achddou, Gousseau and Ladjal (SSVM 2021); textured leaves,
VibrantLeaves (arXiv 2504.10201). Our choices: colours from a prior in Lab instead of photographs, linear light, and the
probabilities of the kinds of scenes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import DoubleArray, FloatArray
from rawkd.render.color import XYZ_FROM_RGB
from rawkd.training.data.patterns import bars, stripes, weave

SUPERSAMPLING = 2
RADIUS_EXPONENT = 3.0
SMALLEST_RADIUS_PX, LARGEST_RADIUS_PX = 1.5, 300.0
TEXTURED_FROM_PX = 10
"""Radius above which a leaf may have texture and shading."""
DARK = 0.002
"""Least value of a colour."""
TEXTURE_PX = 128
"""Side of a tile of texture, supersampled pixels."""


def leaves_scene(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return a random scene in linear sRGB, (side, side, 3) float32, 0..1.

    Its power spectrum falls with a slope of -2 to -3; that of photographs with -1.3 to -3.
    """
    kind = rng.random()
    if kind < 0.10:
        scene = _coloured_noise(side_px, rng)
    elif kind < 0.15:
        scene = _striped(side_px, rng)
    elif kind < 0.20:
        scene = _gradient(side_px, rng)
    elif kind < 0.45:
        scene = _woven(side_px, rng)
    else:
        scene = dead_leaves(side_px, rng)
    return np.clip(scene, 0, 1, out=scene)


def dead_leaves(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return a scene of opaque leaves, painted back to front and anti-aliased by supersampling.

    First every pixel gets the number of its leaf; then colour, shading and texture are looked up once.
    """
    fine = side_px * SUPERSAMPLING
    radii = _radii(fine, rng)
    y, x = rng.uniform(-radii / 2, fine + radii / 2, (2, len(radii)))
    sides = _sides(len(radii), rng)
    owner = np.zeros((fine, fine), np.int16)
    for number, (row, column, radius) in enumerate(zip(y.tolist(), x.tolist(), radii.tolist(), strict=True)):
        _paint(owner, number, row, column, radius, sides[number])
    scene = _lit(owner.astype(np.intp), x, radii, rng)
    rows = scene[0::2] + scene[1::2]
    pixels = (rows[:, 0::2] + rows[:, 1::2]) * np.float32(1 / SUPERSAMPLING**2)
    return _blurred(pixels, float(rng.uniform(0.3, 0.9)))


def _radii(fine: int, rng: np.random.Generator) -> DoubleArray:
    """Return (n,) radii in supersampled pixels: a few large ones first (at the back), then a power law.

    In half of the scenes all leaves are sorted, so that small ones are in front.
    """
    low, high = SMALLEST_RADIUS_PX * SUPERSAMPLING, min(LARGEST_RADIUS_PX * SUPERSAMPLING, fine)
    power = 1 - RADIUS_EXPONENT
    count = int(rng.integers(250, 900))
    drawn = rng.uniform(high**power, low**power, count) ** (1 / power)
    large = rng.uniform(0.05, 0.5, max(8, count // 24)) * fine
    radii: DoubleArray = np.concatenate([large, drawn])
    return np.sort(radii)[::-1] if rng.random() < 0.5 else radii


def _sides(num_leaves: int, rng: np.random.Generator) -> FloatArray:
    """Return the sides of the leaves, (n, 3, 6): sine, cosine, and distance from the centre in radii.

    An unused side has an infinite distance; a disk has no sides. 40 % of the leaves are disks, 30 % rotated rectangles,
    30 % convex polygons with 3 to 6 sides.
    """
    kind = rng.random(num_leaves)[:, None]
    number = np.arange(6)
    counts = np.where(kind < 0.7, 4, rng.integers(3, 7, (num_leaves, 1)))
    angles = 2 * np.pi * (rng.random((num_leaves, 1)) + number / counts)
    distances = rng.uniform(0.15, 0.7, (num_leaves, 6))
    distances = np.where(kind < 0.7, distances[:, number % 2], distances)
    distances[(kind < 0.4) | (number >= counts)] = np.inf
    return np.stack([np.sin(angles), np.cos(angles), distances], axis=1).astype(np.float32)


def _paint(owner: NDArray[np.int16], number: int, y: float, x: float, radius: float, sides: FloatArray) -> None:
    """Write `number` into the pixels of a leaf at (y, x): those inside the radius and inside all (3, 6) sides."""
    top, left = max(0, int(y - radius)), max(0, int(x - radius))
    bottom, right = min(owner.shape[0], int(y + radius) + 2), min(owner.shape[1], int(x + radius) + 2)
    dy = np.arange(top, bottom, dtype=np.float32) - np.float32(y)
    half = np.sqrt(np.maximum(np.float32(radius * radius) - dy * dy, 0))
    # side i is the line sine dy + cosine dx = distance: with cosine > 0 it is the right end of a row, else the left end
    sine, cosine, distance = sides[:, :, None]
    ends = (distance * np.float32(radius) - sine * dy) / cosine
    first = np.maximum(np.where(cosine < 0, ends, -half).max(axis=0), -half) + np.float32(x)
    last = np.minimum(np.where(cosine > 0, ends, half).min(axis=0), half) + np.float32(x)
    columns = np.arange(left, right, dtype=np.int16)
    inside = columns >= np.ceil(first).astype(np.int16)[:, None]
    inside &= columns < np.ceil(last).astype(np.int16)[:, None]
    np.copyto(owner[top:bottom, left:right], np.int16(number), where=inside)


def _lit(owner: NDArray[np.intp], x: DoubleArray, radii: DoubleArray, rng: np.random.Generator) -> FloatArray:
    """Return the colours, (fine, fine, 3): the leaf's colour, for large leaves with shading and texture."""
    num_leaves, fine = len(radii), len(owner)
    palette = _palette(rng)
    colors = palette[rng.integers(len(palette), size=num_leaves)] * np.exp(0.25 * rng.standard_normal((num_leaves, 3)))
    is_textured = (radii > TEXTURED_FROM_PX * SUPERSAMPLING) & (rng.random(num_leaves) < 0.6)
    is_textured[0] = False  # pixels that no leaf covers belong to leaf 0
    slope = is_textured * rng.uniform(-0.3, 0.3, num_leaves) / radii
    strength = is_textured * rng.uniform(0.2, 1.2, num_leaves)
    texture = _noise_field(TEXTURE_PX, rng.uniform(0.5, 1.5), rng) - np.float32(0.5)
    repeats = -(-fine // TEXTURE_PX)
    shade = _of_leaf(strength, owner) * np.tile(texture, (repeats, repeats))[:fine, :fine]
    shade += _of_leaf(slope, owner) * np.arange(fine, dtype=np.float32)
    shade += _of_leaf(1 - slope * x, owner)
    scene = _of_leaf(np.clip(colors, 0, 1), owner)
    scene *= shade[:, :, None]
    return scene


def _of_leaf(values: DoubleArray, owner: NDArray[np.intp]) -> FloatArray:
    """Return for every pixel the value of its leaf, float32."""
    return values.astype(np.float32).take(owner, axis=0)  # seven times faster than indexing


def _palette(rng: np.random.Generator) -> DoubleArray:
    """Return (6, 3) linear sRGB colours around three random Lab centres; 30 % of the palettes are grey."""
    lightness = rng.beta(1.3, 2.2, 3) * 100
    spread = 0.0 if rng.random() < 0.3 else 18.0 * (2.5 if rng.random() < 0.05 else 1.0)
    chroma = spread * rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], 3)
    centres = np.column_stack([lightness, chroma])
    lab = np.repeat(centres, 2, axis=0) + rng.normal(0, (6, 3, 3), (6, 3))
    lab[:, 1:] *= spread > 0
    return np.clip(_linear_from_lab(lab), DARK, 1)


def _linear_from_lab(lab: DoubleArray) -> DoubleArray:
    """Convert CIE Lab (D65) to linear sRGB, (n, 3)."""
    fy = (np.clip(lab[:, 0], 0, 100) + 16) / 116
    f = np.column_stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200])
    relative = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    white = XYZ_FROM_RGB.sum(axis=1)
    linear: DoubleArray = np.linalg.solve(XYZ_FROM_RGB, (relative * white).T).T
    return linear


def _noise_field(side_px: int, slope: float, rng: np.random.Generator) -> FloatArray:
    """Return (side, side) noise in 0..1 with mean about 0.5; its amplitude falls as frequency^-slope."""
    fy = np.fft.fftfreq(side_px)[:, None]
    fx = np.fft.rfftfreq(side_px)[None, :]
    falloff = 1 / np.maximum(np.hypot(fy, fx), 1 / side_px) ** slope
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side_px, side_px))) * falloff, (side_px, side_px))
    spread: FloatArray = np.clip(0.5 + field / (4 * field.std()), 0, 1).astype(np.float32)
    return spread


def _coloured_noise(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return a `_noise_field` between two colours, (side, side, 3)."""
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    return _mixed(a, b, _noise_field(side_px, rng.uniform(0.5, 2.5), rng)[:, :, None])


def _striped(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return stripes between two colours, (side, side, 3)."""
    field = stripes(side_px, rng)
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    return _mixed(a, b, field[:, :, None])


def _woven(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return a weave between two colours, of a random contrast."""
    field = weave(side_px, rng)
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    return _mixed(a, b, (0.5 + rng.uniform(0.2, 1) * (field - 0.5))[:, :, None])


def bars_scene(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return bars as fine as the pixels, in linear sRGB, (side, side, 3) float32, 0..1.

    They lie between two colours of different centres, in half of the scenes between black and white.
    """
    field = bars(side_px, rng)
    black, white = np.full(3, DARK), np.ones(3)
    a, b = (black, white) if rng.random() < 0.5 else _palette(rng)[2 * rng.permutation(3)[:2]]
    return _mixed(a, b, field[:, :, None])


def _gradient(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Return a smooth gradient between two colours, with up to five round highlights."""
    y, x = (np.mgrid[0:side_px, 0:side_px] / side_px).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    t = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[:, :, None]
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    scene = _mixed(a, b, t)
    for _ in range(int(rng.integers(0, 6))):
        cy, cx, radius = rng.random(), rng.random(), rng.uniform(0.01, 0.08)
        glow = 0.5 - 0.5 * np.tanh((np.hypot(y - cy, x - cx) - radius) * (side_px / 4))
        scene += (rng.uniform(0.2, 1) * glow)[:, :, None].astype(np.float32)
    return scene


def _mixed(first: DoubleArray, second: DoubleArray, share: NDArray[Any]) -> FloatArray:
    """Return a float32 mix of two colours; `share` is the fraction of the second, (H, W, 1)."""
    scene: FloatArray = first.astype(np.float32) + (second - first).astype(np.float32) * share.astype(np.float32)
    return scene


def _blurred(scene: FloatArray, sigma_px: float) -> FloatArray:
    """Return the scene with Gaussian blur, like that of a lens."""
    from scipy.ndimage import gaussian_filter1d

    out = scene
    for axis in (0, 1):
        out = gaussian_filter1d(out, sigma_px, axis=axis, mode="nearest")
    return out
