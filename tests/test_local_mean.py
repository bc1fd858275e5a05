"""Local means: a flat field keeps its level, a hot pixel moves nothing, clipped noise is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.restore.local_mean import WINDOW_PX, keep_local_mean
from rawkd.sensor.noise import NoiseModel

NOISE = NoiseModel(np.full(4, 6e-3), np.full(4, 4.8e-5), "given")
FLOOR, SATURATION = -0.03, 1.0


def flat_field(level: float, height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W) float32 Poisson-Gaussian noise around a level."""
    rng = np.random.default_rng(seed)
    noisy = 6e-3 * rng.poisson(level / 6e-3, (height, width)) + rng.normal(0, np.sqrt(4.8e-5), (height, width))
    return noisy.astype(np.float32)


@given(
    height=st.integers(WINDOW_PX // 2, 2 * WINDOW_PX).map(lambda n: 2 * n),
    width=st.integers(WINDOW_PX // 2, 2 * WINDOW_PX).map(lambda n: 2 * n),
    bias=st.floats(-0.01, 0.01),
)
@settings(max_examples=20, deadline=None)
def test_a_biased_flat_field_gets_its_mean_back(height: int, width: int, bias: float) -> None:
    noisy = flat_field(0.1, height, width)
    biased = np.full((height, width), 0.1 + bias, np.float32)
    restored = keep_local_mean(noisy, biased, NOISE, floor=FLOOR, saturation=SATURATION)
    # the correction carries the noise of the mean of a block; five deviations, for some hundred block values
    assert np.abs(restored - 0.1).max() < 5 * np.sqrt((6e-3 * 0.1 + 4.8e-5) / (WINDOW_PX // 2) ** 2)


def test_without_it_the_bias_stays() -> None:
    """The twin: the same field fails the same tolerance when nothing is done."""
    noisy = flat_field(0.1, 512, 512)
    kept = keep_local_mean(noisy, np.full((512, 512), 0.09, np.float32), NOISE, floor=0.0, saturation=SATURATION)
    assert np.abs(kept - 0.1).max() > 5 * np.sqrt((6e-3 * 0.1 + 4.8e-5) / (WINDOW_PX // 2) ** 2)


def test_exact_means_of_whole_windows() -> None:
    noisy = flat_field(0.002, 4 * WINDOW_PX, 4 * WINDOW_PX)
    restored = keep_local_mean(
        noisy, np.full(noisy.shape, 0.0019, np.float32), NOISE, floor=FLOOR, saturation=SATURATION
    )
    # cutting at five deviations takes almost nothing away; what remains is the edges' double weight
    assert float(np.mean(restored - noisy, dtype=np.float64)) == pytest.approx(0, abs=2e-5)


def test_a_hot_pixel_moves_its_surroundings_by_a_thousandth_of_the_noise() -> None:
    noisy = np.full((256, 256), 0.1, np.float32)
    noisy[100, 100] = 1.0
    restored = keep_local_mean(noisy, np.full(noisy.shape, 0.1, np.float32), NOISE, floor=FLOOR, saturation=SATURATION)
    assert np.abs(restored - 0.1).max() < 2e-3 * np.sqrt(6e-3 * 0.1 + 4.8e-5)


def test_planes_are_corrected_each_by_itself() -> None:
    noisy = np.full((512, 512), 0.1, np.float32)
    restored = noisy.copy()
    restored[1::2, 1::2] = 0.09
    keep_local_mean(noisy, restored, NOISE, floor=FLOOR, saturation=SATURATION)
    np.testing.assert_allclose(restored, 0.1, atol=1e-6)


@pytest.mark.parametrize(("level", "floor"), [(0.995, FLOOR), (0.002, -0.001)])
def test_cut_off_noise_is_left_alone(level: float, floor: float) -> None:
    noisy = np.minimum(flat_field(level, 256, 256), 1)
    restored = np.full(noisy.shape, level, np.float32)
    kept = keep_local_mean(noisy, restored.copy(), NOISE, floor=floor, saturation=SATURATION)
    np.testing.assert_array_equal(kept, restored)


def test_black_beside_white_without_read_variance() -> None:
    """Black has no noise at all then, and counts as what it is."""
    noisy = np.zeros((256, 256), np.float32)
    noisy[:, 128:] = 1.0
    noise = NoiseModel(np.full(4, 1e-3), np.zeros(4), "given")
    with np.errstate(all="raise"):
        kept = keep_local_mean(noisy, noisy.copy(), noise, floor=FLOOR, saturation=SATURATION)
    np.testing.assert_array_equal(kept, noisy)
