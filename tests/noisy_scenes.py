"""Clean mosaics of dead leaves, and sensor noise on top of any mosaic: what the noise tests look at."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from rawkd.photo import CFAPattern, Mosaic


def leaves(side: int = 1024, *, texture: float = 0.15, seed: int = 0, brightness: float = 1.0) -> np.ndarray:
    """(side, side) float64 RGGB mosaic of occluding discs with power-law radii, a part of them textured."""
    rng = np.random.default_rng(seed)
    rgb = np.full((side, side, 3), 0.2)
    rows, columns = np.mgrid[0:side, 0:side]
    radii = np.sort(8 * rng.random(500) ** -0.7)[::-1]
    for radius in np.minimum(radii, side / 2):
        y, x = rng.uniform(0, side, 2)
        box = np.s_[
            max(0, int(y - radius)) : int(y + radius) + 2,
            max(0, int(x - radius)) : int(x + radius) + 2,
        ]
        dy, dx = rows[box] - y, columns[box] - x
        inside = dy**2 + dx**2 < radius**2
        level = rng.uniform(0.01, 0.7) ** 1.5
        shade = 1 + rng.uniform(-0.3, 0.3) * dx / radius
        if rng.random() < texture:
            shade = shade * (1 + 0.15 * np.sin(dy / rng.uniform(0.5, 4)) * rng.choice([1, np.sin(dx[0, 0])]))
            shade = shade * (1 + 0.1 * rng.standard_normal(shade.shape))
        tint = np.clip(rng.normal((0.6, 1.0, 0.7), 0.1), 0.2, 1.2)
        rgb[box][inside] = (level * shade[..., None] * tint)[inside]
    clean = rgb[..., 1].copy()
    clean[::2, ::2] = rgb[::2, ::2, 0]
    clean[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return np.clip(clean * brightness, 0, 1)


def noisy(
    clean: np.ndarray,
    gain: float,
    read_variance: float,
    *,
    seed: int = 1,
    floor: float | None = None,
    pattern: CFAPattern = CFAPattern.RGGB,
) -> Mosaic:
    """The clean mosaic as a sensor of this noise sees it, clipped at `floor` and at 1."""
    rng = np.random.default_rng(seed)
    samples = gain * rng.poisson(clean / gain) + rng.normal(0, np.sqrt(read_variance), clean.shape)
    samples = np.clip(samples, -np.inf if floor is None else floor, 1)
    return Mosaic(np.ascontiguousarray(samples, np.float32), pattern)


def shaded_texture(side: int = 768, *, seed: int = 0) -> np.ndarray:
    """(side, side) float64 grey mosaic of fine texture under soft light and shade; an eighth of it is smooth."""
    rng = np.random.default_rng(seed)
    light, texture = (gaussian_filter(rng.standard_normal((side, side)), width) for width in (40, 1))
    light, texture = light / light.std(), texture / texture.std()
    texture[: side // 8] = 0
    return np.clip(0.1 * np.exp(light) * (1 + 0.3 * texture), 0, 1)


def in_shadow(clean: np.ndarray) -> float:
    """The level below which a tenth of a scene lies."""
    return float(np.quantile(clean, 0.1))
