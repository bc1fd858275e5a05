"""Measure rendering, blending and unprocessing: `pytest benchmarks/test_isp_speed.py --benchmark-enable`."""

from __future__ import annotations

import numpy as np
import pytest

from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, Mosaic, RawPhoto, Rect
from rawkd.render.demosaic import METHODS
from rawkd.render.preview import render_preview
from rawkd.render.view import render
from rawkd.restore.blend import blend
from rawkd.sensor.noise import NoiseModel
from rawkd.training.data.unprocess import random_look, unprocess

HEIGHT, WIDTH = 2000, 3000
MEGAPIXELS = HEIGHT * WIDTH / 1e6
NEUTRAL = np.array([0.5, 1.0, 0.6])


@pytest.fixture(scope="module")
def photo() -> RawPhoto:
    """A noisy gradient, 5 % of it blown."""
    matrix = np.array([[1.0344, -0.421, -0.062], [-0.2315, 1.0625, 0.1948], [0.0093, 0.1058, 0.5541]])
    light = np.linspace(0.1, 0.5, HEIGHT)[:, None] + np.linspace(0.0, 0.75, WIDTH) ** 2
    noise = np.random.default_rng(0).normal(0, 200, (HEIGHT, WIDTH))
    frame = np.clip(512 + 15871 * light + noise, 0, 16383).astype(np.uint16)
    whole = Rect(0, 0, HEIGHT, WIDTH)
    levels = Levels(np.full((2, 2), 512.0), 16383.0, 16383.0, 14)
    return RawPhoto(frame, whole, whole, CFAPattern.GBRG, levels, ColorCalibration(matrix, NEUTRAL), Capture())


@pytest.mark.parametrize("method", METHODS)
def test_render(benchmark, photo: RawPhoto, method: str) -> None:
    benchmark.extra_info["megapixels"] = MEGAPIXELS
    result = benchmark.pedantic(render, (photo,), {"demosaic": method, "dtype": np.uint8}, rounds=3)
    assert result.shape == (HEIGHT, WIDTH, 3)


def test_preview(benchmark, photo: RawPhoto) -> None:
    benchmark.extra_info["megapixels"] = MEGAPIXELS
    assert benchmark.pedantic(render_preview, (photo,), rounds=3).shape == (HEIGHT // 2, WIDTH // 2, 3)


@pytest.mark.parametrize("luma", [1.0, 0.5])
def test_blend(benchmark, photo: RawPhoto, luma: float) -> None:
    noisy = photo.mosaic
    restored = Mosaic(noisy.data * np.float32(0.98), noisy.pattern)
    noise = NoiseModel(np.full(4, 1e-3), np.full(4, 1e-6), "given")
    benchmark.extra_info["megapixels"] = MEGAPIXELS
    options = {"saturation": 1.0, "luma": luma, "neutral": NEUTRAL}
    assert benchmark.pedantic(blend, (noisy, restored, noise), options, rounds=3).data.shape == noisy.data.shape


def test_unprocess(benchmark) -> None:
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    assert benchmark(unprocess, crop, random_look(rng)).shape == (256, 256)
