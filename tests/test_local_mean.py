"""Local means: a flat field keeps its level, a hot pixel moves nothing, clipping is allowed for or left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.restore.clipped_mean import RaisedMean
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
    noisy = np.clip(flat_field(level, 256, 256), floor, 1)
    restored = np.full(noisy.shape, level, np.float32)
    kept = keep_local_mean(noisy, restored.copy(), NOISE, floor=floor, saturation=SATURATION)
    np.testing.assert_array_equal(kept, restored)


def test_blacks_above_the_mean_of_clipped_noise_are_lowered_to_it() -> None:
    """A black patch of 128 px, all of its noise below 0 cut off, in a brighter picture."""
    clean = np.full((512, 512), 0.1, np.float32)
    clean[192:320, 192:320] = 0
    rng = np.random.default_rng(9)
    noisy = 6e-3 * rng.poisson(clean / 6e-3) + rng.normal(0, np.sqrt(4.8e-5), clean.shape)
    noisy = np.maximum(noisy, 0).astype(np.float32)
    black, sigma = np.s_[224:288, 224:288], np.sqrt(4.8e-5)
    raised = (clean + 0.8 * sigma * (clean == 0)).astype(np.float32)
    lowered = keep_local_mean(noisy, raised.copy(), NOISE, floor=0.0, saturation=SATURATION)
    # half of the noise is cut off, so its mean is 0.4 deviations above black
    assert lowered[black].mean() / sigma == pytest.approx(0.4, abs=0.1)
    # five deviations of the mean of a block of 16 x 16 samples of a class, of which half comes from neighbours
    assert np.abs(lowered - raised)[:128].max() < 5 * np.sqrt(6e-3 * 0.1) / 16 / 1.6
    dark = clean.copy()
    kept = keep_local_mean(noisy, dark.copy(), NOISE, floor=0.0, saturation=SATURATION)
    np.testing.assert_array_equal(kept[black], dark[black])  # never raised


def lamp_in_the_dark() -> tuple[np.ndarray, np.ndarray]:
    """Truth and noisy mosaic: a light of 0.7 to 0.9 of white in the left half of a dark picture."""
    rng = np.random.default_rng(8)
    truth = np.full((2 * WINDOW_PX, 2 * WINDOW_PX), 0.006)
    truth[:, :WINDOW_PX] = np.repeat(np.repeat(rng.uniform(0.7, 0.9, (64, 32)), 4, axis=0), 4, axis=1)
    noisy = 6e-3 * rng.poisson(truth / 6e-3) + rng.normal(0, np.sqrt(4.8e-5), truth.shape)
    return truth, np.minimum(noisy, SATURATION).astype(np.float32)


@pytest.mark.parametrize("leak", [0.0, 0.4])
def test_a_lamp_near_saturation_does_not_tint_the_dark_beside_it(leak: float) -> None:
    """Whatever part of its noise a network leaves in a lamp. Five standard errors of the mean of the dark."""
    truth, noisy = lamp_in_the_dark()
    restored = truth.astype(np.float32)
    restored[:, :WINDOW_PX] += np.float32(leak) * (noisy - restored)[:, :WINDOW_PX]
    keep_local_mean(noisy, restored, NOISE, floor=FLOOR, saturation=SATURATION)
    dark = np.s_[:, WINDOW_PX:]
    error = (restored - truth)[dark].reshape(-1, 64, WINDOW_PX).mean(axis=(1, 2))
    assert np.abs(error).max() < 5 * np.sqrt((6e-3 * 0.006 + 4.8e-5) / (WINDOW_PX * 64))


def test_a_shift_is_in_proportion_to_the_noise() -> None:
    """A restored picture too low by a twentieth of its noise, at two levels in one block, is right afterwards."""
    truth = np.full((2 * WINDOW_PX, 2 * WINDOW_PX), 0.5)
    truth[:, 40:72] = 0.01
    sigma = np.sqrt(6e-3 * truth + 4.8e-5)
    restored = (truth - 0.05 * sigma).astype(np.float32)
    keep_local_mean(truth.astype(np.float32), restored, NOISE, floor=FLOOR, saturation=SATURATION)
    assert np.abs((restored - truth) / sigma).max() < 0.002


CLIPPED = NoiseModel(np.full(4, 2.5e-2), np.full(4, 1.07e-3), "given")
"""As at the highest gain of docs/accuracy.md: black at DN 512 of 16,383 is then one deviation of the read noise."""


@pytest.mark.parametrize("level", [0.0, 0.01, 0.05, 0.15])
def test_clipping_below_black_is_allowed_for(level: float) -> None:
    """Within five standard errors of the mean of 512 x 512 pixels; clipping adds up to 20 times as much (the twin)."""
    floor, rng = -512 / 15871, np.random.default_rng(4)
    read = rng.normal(0, np.sqrt(1.07e-3), (512, 512))
    noisy = np.maximum(2.5e-2 * rng.poisson(level / 2.5e-2, (512, 512)) + read, floor).astype(np.float32)
    biased = np.full(noisy.shape, level - 0.003, np.float32)
    kept = keep_local_mean(noisy, biased, CLIPPED, floor=floor, saturation=SATURATION)
    tolerance = 5 * np.sqrt(2.5e-2 * level + 1.07e-3) / 512
    # edge blocks weigh twice, so the mean of a field scatters by a little more than that of its pixels
    assert float(kept.mean(dtype=np.float64)) == pytest.approx(level, abs=1.5 * tolerance)
    if level < 0.02:
        assert float(noisy.mean(dtype=np.float64)) - level > 3 * tolerance


@pytest.mark.parametrize(
    ("gain", "read_variance", "floor"), [(2.5e-2, 1.07e-3, -0.0323), (6e-3, 4.8e-5, -0.006), (1e-5, 1e-4, -0.01)]
)
@pytest.mark.parametrize("level", [-0.002, 0.0, 0.004, 0.02])
def test_raised_mean_against_drawn_noise(gain: float, read_variance: float, floor: float, level: float) -> None:
    """Few electrons, more, and so many that shot noise counts as Gaussian. Five standard errors of a million draws."""
    rng, table = np.random.default_rng(6), RaisedMean.of(gain, read_variance, floor)
    shot = gain * rng.poisson(level / gain, 10**6) if level > 0 else level
    drawn = shot + rng.normal(0, np.sqrt(read_variance), 10**6)
    added = np.maximum(drawn, floor) - drawn
    raised, slope = table.at(np.array([level], np.float32))
    assert raised[0] == pytest.approx(added.mean(), abs=5 * added.std() / 1e3 + 1e-9)
    assert 0.5 < slope[0] <= 1


@pytest.mark.parametrize("gain", [1e-13, 1e-310])
def test_a_tiny_gain_needs_no_table_of_its_electrons(gain: float) -> None:
    """At 1e-13, the numbers of electrons fill 5 TiB. Without shot noise the raised mean at 0 is sigma * 0.0833."""
    table = RaisedMean.of(gain, 1e-2, -0.1)
    raised, _ = table.at(np.array([0.0], np.float32))
    assert raised[0] == pytest.approx(0.1 * 0.083315, rel=1e-3)


@pytest.mark.parametrize("gain", [2.5e-2, 1e-5])
def test_slope_is_the_derivative_of_the_mean(gain: float) -> None:
    """By differences of neighbours in the table; its step is small beside the deviation of the noise."""
    table = RaisedMean.of(gain, 1e-3, -0.03)
    lit = table.level >= 0
    level, mean = table.level[lit], (table.level + table.raised)[lit]
    middle = (table.slope[lit][1:] + table.slope[lit][:-1]) / 2
    np.testing.assert_allclose(np.diff(mean) / np.diff(level), middle, atol=5e-3)


def test_black_beside_white_without_read_variance() -> None:
    """Black has no noise at all then, and counts as what it is."""
    noisy = np.zeros((256, 256), np.float32)
    noisy[:, 128:] = 1.0
    noise = NoiseModel(np.full(4, 1e-3), np.zeros(4), "given")
    with np.errstate(all="raise"):
        kept = keep_local_mean(noisy, noisy.copy(), noise, floor=FLOOR, saturation=SATURATION)
    np.testing.assert_array_equal(kept, noisy)


def test_the_number_of_threads_does_not_change_a_bit() -> None:
    rng = np.random.default_rng(5)
    noisy = (0.1 + 0.01 * rng.standard_normal((700, 300))).astype(np.float32)
    restored = np.full_like(noisy, 0.098)
    one, three = (
        keep_local_mean(noisy, restored.copy(), NOISE, floor=FLOOR, saturation=SATURATION, threads=threads)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
    assert np.ptp(one) > 1e-5
