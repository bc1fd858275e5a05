"""Clean scenes out of nothing: dead leaves, so that weights can be trained without any photograph.

Sources: the dead-leaves model with a power law of radii (exponent 3) after Achddou, Gousseau and Ladjal (SSVM 2021);
textured leaves after VibrantLeaves (arXiv 2504.10201). Colours come from a prior in Lab instead of photographs, and the
scene is made in linear light; mixing shares are our choice.
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import DoubleArray, FloatArray

SUPERSAMPLING = 2
RADIUS_EXPONENT = 3.0
SMALLEST_RADIUS_PX, LARGEST_RADIUS_PX = 1.5, 300.0

_XYZ_FROM_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB)
_WHITE_XYZ = _XYZ_FROM_RGB.sum(axis=1)


def leaves_scene(side_px: int, rng: np.random.Generator) -> FloatArray:
    """A scene in linear sRGB light.

    Parameters
    ----------
    side_px : edge of the square scene.

    Returns
    -------
    (side, side, 3) float32 in 0..1 with a power spectrum that falls about as natural pictures' does (slope near -2).
    """
    kind = rng.random()
    if kind < 0.10:
        scene = _coloured_noise(side_px, rng)
    elif kind < 0.15:
        scene = _stripes(side_px, rng)
    elif kind < 0.20:
        scene = _gradient(side_px, rng)
    else:
        scene = _dead_leaves(side_px, rng)
    return np.clip(scene, 0, 1).astype(np.float32)


def _dead_leaves(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Opaque shapes painted back to front, anti-aliased by supersampling."""
    fine = side_px * SUPERSAMPLING
    palette = _palette(rng)
    canvas = np.empty((fine, fine, 3), np.float32)
    canvas[:] = palette[0]
    low, high = SMALLEST_RADIUS_PX * SUPERSAMPLING, min(LARGEST_RADIUS_PX, side_px) * SUPERSAMPLING
    power = 1 - RADIUS_EXPONENT
    count = int(rng.integers(250, 900))
    radii = rng.uniform(high**power, low**power, count) ** (1 / power)
    large = rng.uniform(0.05, 0.5, max(8, count // 12)) * fine
    radii = np.sort(np.concatenate([large, radii]))[::-1] if rng.random() < 0.5 else np.concatenate([large, radii])
    textures = [_coloured_noise(128, rng).mean(axis=2) - 0.5 for _ in range(2)]
    for radius in radii:
        y, x = rng.uniform(-radius / 2, fine + radius / 2, 2)
        top, left = max(0, int(y - radius)), max(0, int(x - radius))
        bottom, right = min(fine, int(y + radius) + 2), min(fine, int(x + radius) + 2)
        if bottom <= top or right <= left:
            continue
        dy = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
        dx = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
        inside = _shape(dy, dx, float(radius), rng)
        color = np.clip(palette[rng.integers(len(palette))] * np.exp(0.25 * rng.standard_normal(3)), 0, 1)
        patch = canvas[top:bottom, left:right]
        if radius > 20 and rng.random() < 0.6:
            texture = textures[rng.integers(2)]
            rows = np.arange(bottom - top) % 128
            columns = np.arange(right - left) % 128
            shade = 1 + np.float32(rng.uniform(0.2, 1.2)) * texture[np.ix_(rows, columns)][:, :, None]
            ramp = 1 + np.float32(rng.uniform(-0.3, 0.3)) * (dx / np.float32(radius))[:, :, None]
            np.copyto(patch, (color * shade * ramp).astype(np.float32), where=inside[:, :, None])
        else:
            patch[inside] = color
    scale = SUPERSAMPLING
    small = canvas.reshape(side_px, scale, side_px, scale, 3).mean(axis=(1, 3))
    return _blurred(small, float(rng.uniform(0.3, 0.9)))


def _shape(dy: FloatArray, dx: FloatArray, radius: float, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which pixels of a box belong to a disk, a rotated rectangle or a convex polygon."""
    kind = rng.random()
    if kind < 0.4:
        return (dy * dy + dx * dx < radius * radius).astype(bool)
    sides = 2 if kind < 0.7 else int(rng.integers(3, 7))
    inside = np.ones(np.broadcast_shapes(dy.shape, dx.shape), bool)
    start = rng.uniform(0, 2 * np.pi)
    for index in range(sides):
        angle = start + (index * np.pi / 2 if sides == 2 else 2 * np.pi * index / sides)
        reach = radius * rng.uniform(0.15, 0.7)
        along = dy * np.float32(np.sin(angle)) + dx * np.float32(np.cos(angle))
        inside &= np.abs(along) < reach if sides == 2 else along < reach
    return inside


def _palette(rng: np.random.Generator) -> DoubleArray:
    """(6, 3) linear sRGB colours around three centres of a Lab prior; three scenes in ten are grey."""
    lightness = rng.beta(1.3, 2.2, 3) * 100
    spread = 0.0 if rng.random() < 0.3 else 18.0 * (2.5 if rng.random() < 0.05 else 1.0)
    chroma = spread * rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 1]], 3)
    centres = np.column_stack([lightness, chroma])
    lab = np.repeat(centres, 2, axis=0) + rng.normal(0, (6, 3, 3), (6, 3))
    lab[:, 1:] *= spread > 0
    return np.clip(_linear_from_lab(lab), 0.002, 1)


def _linear_from_lab(lab: DoubleArray) -> DoubleArray:
    """CIE Lab (D65) to linear sRGB, (n, 3)."""
    fy = (np.clip(lab[:, 0], 0, 100) + 16) / 116
    f = np.column_stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200])
    relative = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2)
    linear: DoubleArray = (relative * _WHITE_XYZ) @ _RGB_FROM_XYZ.T
    return linear


def _coloured_noise(side_px: int, rng: np.random.Generator) -> FloatArray:
    """A field whose spectrum falls with a random slope, in two colours, (side, side, 3)."""
    slope = rng.uniform(0.5, 2.5)
    fy = np.fft.fftfreq(side_px)[:, None]
    fx = np.fft.rfftfreq(side_px)[None, :]
    falloff = 1 / np.maximum(np.hypot(fy, fx), 1 / side_px) ** slope
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side_px, side_px))) * falloff, (side_px, side_px))
    field = np.clip(0.5 + field / (4 * field.std() + 1e-9), 0, 1)[:, :, None]
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    return (a * (1 - field) + b * field).astype(np.float32)


def _stripes(side_px: int, rng: np.random.Generator) -> FloatArray:
    """Lines and letters' stems: hard-edged stripes of changing period at a random angle."""
    y, x = np.mgrid[0:side_px, 0:side_px].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 40)
    phase = (x * np.cos(angle) + y * np.sin(angle)) / period + rng.uniform(0, 3) * (x * y) / side_px**2
    field = np.clip((np.sin(2 * np.pi * phase)) * period / 4 + 0.5, 0, 1)[:, :, None]
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    return (a * (1 - field) + b * field).astype(np.float32)


def _gradient(side_px: int, rng: np.random.Generator) -> FloatArray:
    """A smooth sky between two colours with a few round highlights."""
    y, x = (np.mgrid[0:side_px, 0:side_px] / side_px).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    t = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[:, :, None]
    a, b = _palette(rng)[rng.integers(0, 6, 2)]
    scene = (a * (1 - t) + b * t).astype(np.float32)
    for _ in range(int(rng.integers(0, 6))):
        cy, cx, radius = rng.random(), rng.random(), rng.uniform(0.01, 0.08)
        glow = 1 / (1 + np.exp((np.hypot(y - cy, x - cx) - radius) * side_px / 2))
        scene += (rng.uniform(0.2, 1) * glow)[:, :, None].astype(np.float32)
    return scene


def _blurred(scene: FloatArray, sigma_px: float) -> FloatArray:
    """A lens's blur: Gaussian of `sigma_px`."""
    from scipy.ndimage import gaussian_filter1d

    out = scene
    for axis in (0, 1):
        out = gaussian_filter1d(out, sigma_px, axis=axis, mode="nearest")
    return out
