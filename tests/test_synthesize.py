"""Synthesised noise: its moments at every level, clipping and steps, rows and tails, and the simulated estimate of it.

Tolerances are five standard errors of the estimate, computed from the moments of the law itself; every statistic has a
twin, noise of another law, that must fail it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rawkd.errors import UsageError
from rawkd.sensor.noise import read_variance_prior
from rawkd.training.data.eld import CAMERAS, SATURATION_DN, draw_extremes
from rawkd.training.data.synthesize import (
    EXACT_POISSON_BELOW,
    MOST_SMOOTHING,
    SAME_NOISE,
    Camera,
    NoiseShare,
    add_noise,
    camera_at,
    draw_camera,
    estimated_noise,
)

SIGMAS = 5.0
SIDE = 400
SAMPLES = 4 * SIDE * SIDE
LEVELS = (0.0, 0.3, 2.0, 9.0, EXACT_POISSON_BELOW - 0.1, EXACT_POISSON_BELOW + 0.1, 30.0, 100.0, 1000.0)
"""Electrons; the ones around `EXACT_POISSON_BELOW` stand on either side of the switch."""


def flat(signal: float) -> np.ndarray:
    return np.full((4, SIDE, SIDE), signal, np.float32)


def electrons_seen(electrons: float, seed: int = 0) -> np.ndarray:
    """Counts behind the noisy signal of a flat field, from a camera with shot noise alone."""
    camera = Camera(gain=1e-5, read_variance=0.0)
    noisy = add_noise(flat(electrons * camera.gain), camera, np.random.default_rng(seed))
    return noisy.astype(np.float64) / camera.gain


def poisson_scores(counts: np.ndarray, mean: float) -> dict[str, float]:
    """How many standard errors the sample's moments are away from those of Poisson numbers.

    With m the mean, the central moments of Poisson are m, m, m + 3m^2 and, the sixth, m + 25m^2 + 15m^3. One percent
    is allowed for the third moment, as the expansion promises.
    """
    centred = counts - mean
    errors = {
        "mean": (centred.mean(), np.sqrt(mean / SAMPLES)),
        "variance": (np.mean(centred**2) - mean, np.sqrt((mean + 2 * mean**2) / SAMPLES)),
        "skewness": (np.mean(centred**3) - mean, np.sqrt((mean + 24 * mean**2 + 15 * mean**3) / SAMPLES)),
    }
    allowed = {"mean": 0.0, "variance": 0.0, "skewness": 0.01 * mean}
    return {name: max(0.0, abs(error) - allowed[name]) / (spread + 1e-12) for name, (error, spread) in errors.items()}


@pytest.mark.parametrize("electrons", LEVELS)
def test_shot_noise_has_the_moments_of_poisson(electrons: float) -> None:
    scores = poisson_scores(electrons_seen(electrons), electrons)
    # float32 carries a signal of 1000 electrons to 1e-4 of one, far below the standard errors
    assert max(scores.values()) < SIGMAS, scores


@pytest.mark.parametrize("electrons", [level for level in LEVELS if 0 < level <= 100])
def test_gaussian_noise_would_fail(electrons: float) -> None:
    normal = np.random.default_rng(0).standard_normal(SAMPLES)
    assert poisson_scores(electrons + np.sqrt(electrons) * normal, electrons)["skewness"] > SIGMAS


@pytest.mark.parametrize("electrons", [2.0, 30.0, 1000.0])
def test_a_gain_two_percent_off_would_fail(electrons: float) -> None:
    assert poisson_scores(1.02 * electrons_seen(electrons), electrons)["variance"] > SIGMAS


def test_few_electrons_are_whole_and_many_are_not() -> None:
    few, many = electrons_seen(EXACT_POISSON_BELOW - 0.1), electrons_seen(EXACT_POISSON_BELOW + 0.1)
    assert np.abs(few - np.rint(few)).max() < 1e-4
    assert np.abs(many - np.rint(many)).mean() == pytest.approx(0.25, abs=0.01)


def test_a_dark_and_a_bright_half_do_not_mix() -> None:
    clean = flat(1e-5)
    clean[:, :, SIDE // 2 :] = 2e-2
    noisy = add_noise(clean, Camera(1e-5, 0.0), np.random.default_rng(3)).astype(np.float64) / 1e-5
    assert noisy[:, :, : SIDE // 2].mean() == pytest.approx(1, abs=SIGMAS / np.sqrt(SAMPLES / 2))
    assert noisy[:, :, SIDE // 2 :].var() == pytest.approx(2000, rel=SIGMAS * np.sqrt(4 / SAMPLES))


@pytest.mark.parametrize("signal", [0.0, 0.02, 0.4])
@pytest.mark.parametrize("white_dn", [None, 3967, 120])
def test_variance_is_what_the_noise_model_says(signal: float, white_dn: int | None) -> None:
    camera = Camera(1e-3, 1e-4, white_dn=white_dn, black_dn=512)
    noisy = add_noise(flat(signal), camera, np.random.default_rng(1)).astype(np.float64)
    expected = camera.noise_model().variance(np.full((4, 1, 1), signal))[0, 0, 0]
    # kurtosis of this noise is below 3.5: the relative deviation of a sample variance is below sqrt(2.5 / n)
    tolerance = SIGMAS * np.sqrt(2.5 / SAMPLES)
    assert noisy.var() == pytest.approx(expected, rel=tolerance)
    assert noisy.mean() == pytest.approx(signal, abs=SIGMAS * np.sqrt(expected / SAMPLES))
    if white_dn == 120:  # the twin: without quantisation's share it fails
        assert abs(noisy.var() / (expected - 1 / (12 * white_dn**2)) - 1) > tolerance


def variance_off(camera: Camera, signal: float, expected: float) -> float:
    """How many standard errors the variance on a flat field lies away from the expected one; see above for kurtosis."""
    noisy = add_noise(flat(signal), camera, np.random.default_rng(2)).astype(np.float64)
    return abs(float(noisy.var()) / expected - 1) / np.sqrt(2.5 / SAMPLES)


@pytest.mark.parametrize("ratio", [2.0, 1.4])
@pytest.mark.parametrize("signal", [0.0, 0.02, 0.4])
@pytest.mark.parametrize("white_dn", [None, 3967, 120])
def test_noise_a_ratio_weaker_has_its_square_less_variance(ratio: float, signal: float, white_dn: int | None) -> None:
    camera = Camera(1e-3, 1e-4, white_dn=white_dn, black_dn=512)
    expected = camera.noise_model().variance(np.full((4, 1, 1), signal))[0, 0, 0] / ratio**2
    weaker = camera.with_noise(NoiseShare(ratio**-2, ratio**-2))
    assert weaker.total_read_variance == pytest.approx(camera.total_read_variance / ratio**2, rel=1e-2)
    assert variance_off(weaker, signal, expected) < SIGMAS
    # the twins: the ratio itself, and with coarse integers a camera that keeps them
    assert variance_off(camera.with_noise(NoiseShare(1 / ratio, 1 / ratio)), signal, expected) > SIGMAS
    if white_dn == 120:
        assert variance_off(replace(weaker, white_dn=white_dn), signal, expected) > SIGMAS


def test_weaker_noise_keeps_the_rest_of_the_camera() -> None:
    camera = Camera(1e-3, 1e-4, 1000, 64, row_variance=4e-6, tail=0.1, color_bias=(4e-4, 0.0, -8e-4, 0.0))
    weaker = camera.with_noise(NoiseShare(0.5, 0.25))
    assert (weaker.gain, weaker.read_variance, weaker.row_variance) == (5e-4, 2.5e-5, 1e-6)
    assert (weaker.white_dn, weaker.black_dn, weaker.tail) == (2000, 128, 0.1)
    assert weaker.color_bias == (2e-4, 0.0, -4e-4, 0.0)
    assert camera.with_noise(SAME_NOISE) == camera


def test_integers_of_the_file() -> None:
    camera = Camera(1e-3, 1e-6, white_dn=3967, black_dn=128)
    noisy = add_noise(np.random.default_rng(0).random((4, 64, 64), np.float32), camera, np.random.default_rng(1))
    dn = noisy.astype(np.float64) * 3967
    assert np.abs(dn - np.rint(dn)).max() < 1e-3
    continuous = add_noise(noisy.clip(0, 1), replace(camera, white_dn=None), np.random.default_rng(1))
    assert np.abs(continuous * 3967 - np.rint(continuous * 3967)).max() > 0.4


def test_white_clips() -> None:
    noisy = add_noise(flat(1.0), Camera(1e-2, 1e-4), np.random.default_rng(0))
    assert noisy.max() == 1.0
    assert 0.45 < np.mean(noisy == 1.0) < 0.55
    assert noisy.dtype == np.float32


@pytest.mark.parametrize("black_dn", [0, 16, 512])
def test_black_clips_where_the_file_ends(black_dn: int) -> None:
    sigma = 0.03
    camera = Camera(1e-6, sigma**2, white_dn=1000, black_dn=black_dn)
    noisy = add_noise(flat(0.0), camera, np.random.default_rng(0)).astype(np.float64)
    assert noisy.min() == pytest.approx(-min(black_dn, 1000 * 5 * sigma) / 1000, abs=0.02)
    assert noisy.min() >= -black_dn / 1000 - 1e-7
    # E max(X, -c) of a normal X: sigma phi(c / sigma) - c Phi(-c / sigma)
    c = black_dn / 1000
    bias = sigma * stats.norm.pdf(c / sigma) - c * stats.norm.cdf(-c / sigma)
    assert noisy.mean() == pytest.approx(bias, abs=SIGMAS * sigma / np.sqrt(SAMPLES) + 1e-5)


def test_continuous_signal_keeps_its_shadows() -> None:
    noisy = add_noise(flat(0.0), Camera(1e-6, 1e-4, white_dn=None, black_dn=0), np.random.default_rng(0))
    assert np.mean(noisy < 0) == pytest.approx(0.5, abs=SIGMAS * 0.5 / np.sqrt(SAMPLES))


def test_rows_of_the_mosaic_share_their_offset() -> None:
    noisy = add_noise(flat(0.1), Camera(1e-9, 1e-12, row_variance=1e-4), np.random.default_rng(0)).astype(np.float64)
    rows = noisy.mean(axis=2) - 0.1
    assert noisy.std(axis=2).max() < 1e-4
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)  # R and Gr stand in one row
    np.testing.assert_allclose(rows[2], rows[3], atol=1e-5)  # Gb and B in the next
    assert abs(np.corrcoef(rows[0], rows[2])[0, 1]) < SIGMAS / np.sqrt(SIDE)
    both = np.concatenate([rows[0], rows[2]])
    assert both.var() == pytest.approx(1e-4, rel=SIGMAS * np.sqrt(2 / len(both)))


def test_batches_have_rows_of_their_own() -> None:
    clean = np.full((3, 4, 16, 16), 0.1, np.float32)
    noisy = add_noise(clean, Camera(1e-9, 1e-12, row_variance=1e-4), np.random.default_rng(0))
    assert noisy.shape == clean.shape
    rows = noisy.mean(axis=-1)
    np.testing.assert_allclose(rows[:, 0], rows[:, 1], atol=1e-5)
    assert abs(rows[0] - rows[1]).max() > 1e-3


@pytest.mark.parametrize("tail", [-0.24, -0.1, 0.0, 0.1, 0.2])
def test_tails_are_tukey_lambda_of_unit_variance(tail: float) -> None:
    camera = Camera(1e-12, 1e-4, tail=tail)
    numbers = (add_noise(flat(0.1), camera, np.random.default_rng(0)).ravel()[:100_000].astype(np.float64) - 0.1) / 1e-2
    law = stats.tukeylambda(tail, scale=1 / stats.tukeylambda(tail).std())
    assert stats.kstest(numbers, law.cdf).pvalue > 1e-4
    if tail < 0.1:  # near 0.14 Tukey-lambda is the normal law
        assert stats.kstest(numbers, stats.norm.cdf).pvalue < 1e-4
    assert stats.kstest(1.03 * numbers, law.cdf).pvalue < 1e-4


def test_colour_bias_moves_the_planes() -> None:
    camera = Camera(1e-6, 1e-8, color_bias=(1e-3, 0.0, -2e-3, 5e-4))
    means = add_noise(flat(0.1), camera, np.random.default_rng(0)).astype(np.float64).mean(axis=(1, 2)) - 0.1
    np.testing.assert_allclose(means, camera.color_bias, atol=SIGMAS * np.sqrt(1.1e-7 / SIDE**2))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25])
def test_smoothed_noise_keeps_its_variance_and_is_shared_by_neighbours(share: float) -> None:
    camera = Camera(1e-4, 1e-5, smoothing=share)
    noise = add_noise(flat(0.3), camera, np.random.default_rng(0)).astype(np.float64) - 0.3
    noise = noise[:, 2:-2, 2:-2]
    # correlated samples count for less: by the sum of squared correlations, at most 2.6 along either axis
    error = SIGMAS * 2.6 / np.sqrt(noise.size)
    assert noise.var() == pytest.approx(1e-4 * 0.3 + 1e-5, rel=np.sqrt(2) * error)
    energy = (1 - 2 * share) ** 2 + 2 * share**2
    for steps, expected in ((1, 2 * share * (1 - 2 * share) / energy), (2, share**2 / energy), (3, 0.0)):
        for shifted, kept in (
            (noise[:, steps:], noise[:, :-steps]),
            (noise[:, :, steps:], noise[:, :, :-steps]),
        ):
            assert np.mean(shifted * kept) / noise.var() == pytest.approx(expected, abs=error)


def test_noise_comes_from_the_generator_alone() -> None:
    clean = flat(0.01)[:, :32, :32]
    camera = draw_camera(np.random.default_rng(0), 1e-4, 1e-3, model="eld")
    first, again, other = (add_noise(clean, camera, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(clean, flat(0.01)[:, :32, :32])


def test_drawn_cameras() -> None:
    rng = np.random.default_rng(0)
    cameras = [draw_camera(rng, 1e-4, 1e-2) for _ in range(3000)]
    logs = np.log([camera.gain for camera in cameras])
    assert np.log(1e-4) <= logs.min()
    assert logs.max() <= np.log(1e-2)
    assert stats.kstest(logs, stats.uniform(np.log(1e-4), np.log(100)).cdf).pvalue > 1e-4
    above_line = [np.log(camera.read_variance / read_variance_prior(camera.gain)) for camera in cameras]
    assert np.mean(above_line) == pytest.approx(0, abs=SIGMAS * 0.7 / np.sqrt(3000))
    assert np.std(above_line) == pytest.approx(0.7, rel=SIGMAS / np.sqrt(6000))
    integers = [camera for camera in cameras if camera.white_dn is not None]
    # binomial(3000, p): five deviations are at most 0.046
    assert len(integers) / 3000 == pytest.approx(0.8, abs=0.046)
    assert np.mean([camera.black_dn == 0 for camera in cameras]) == pytest.approx(0.125, abs=0.046)
    bits = {np.log2(camera.white_dn + camera.black_dn + 1) for camera in integers}
    assert bits == {10, 12, 14}
    assert {np.log2(c.white_dn + c.black_dn + 1) for c in integers if c.gain <= 2e-4} == {14}
    assert all(camera.tail is None and camera.row_variance == 0 for camera in cameras)


def test_a_share_of_cameras_is_nearly_clean() -> None:
    rng = np.random.default_rng(0)
    below = [draw_camera(rng, 1e-3, 1e-2, near_clean=0.5).gain < 1e-3 for _ in range(1000)]
    # of the nearly clean half, gains fall by 10^-U(0, 2): the average chance to leave a decade is 3/4
    assert np.mean(below) == pytest.approx(0.375, abs=0.08)
    assert min(draw_camera(rng, 1e-3, 1e-2, near_clean=1.0).gain for _ in range(500)) >= 1e-5


def test_a_share_of_cameras_smooths_its_noise() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_camera(rng, 1e-3, 1e-2, smoothed=0.3).smoothing for _ in range(1000)]
    assert np.mean(np.array(drawn) > 0) == pytest.approx(0.3, abs=SIGMAS * np.sqrt(0.21 / 1000))
    assert 0.2 < max(drawn) < MOST_SMOOTHING
    # a recipe without it draws what it drew before there was such a share
    first, second = (np.random.default_rng(1) for _ in range(2))
    assert draw_camera(first, 1e-3, 1e-2) == draw_camera(second, 1e-3, 1e-2, smoothed=0.0)
    assert first.random() == second.random()


def test_cameras_of_the_dark() -> None:
    rng = np.random.default_rng(0)
    gain = 1e-3
    drawn = [draw_extremes(rng, gain) for _ in range(2000)]
    log_k = np.log(gain * SATURATION_DN)
    for kind, variances in enumerate(([d.read_variance for d in drawn], [d.row_variance for d in drawn])):
        logs = 0.5 * np.log(variances) + np.log(SATURATION_DN)
        expected = [slope * log_k + bias for slope, bias, _ in (laws[kind] for laws in CAMERAS.values())]
        assert logs.mean() == pytest.approx(np.mean(expected), abs=SIGMAS * logs.std() / np.sqrt(2000))
    assert all(-0.24 <= d.tail <= 0.2 for d in drawn)
    assert np.abs([d.color_bias for d in drawn]).mean() > 0
    camera = draw_camera(rng, 1e-4, 1e-2, model="eld")
    assert camera.tail is not None
    assert camera.row_variance > 0
    with pytest.raises(UsageError, match=r"no noise model 'gauss'\. Choose poisson-gaussian or eld"):
        draw_camera(rng, 1e-4, 1e-2, model="gauss")


def test_estimates_have_the_errors_of_an_estimator() -> None:
    camera, rng = camera_at(1e-3), np.random.default_rng(0)
    estimates = [estimated_noise(camera, rng, gain_error=0.12, read_error=0.4) for _ in range(2000)]
    gains = np.log([noise.green_gain / camera.gain for noise in estimates])
    reads = np.log([noise.green_read_variance / camera.total_read_variance for noise in estimates])
    for errors, spread in ((gains, 0.12), (reads, 0.4)):
        assert errors.mean() == pytest.approx(0, abs=SIGMAS * spread / np.sqrt(2000))
        assert errors.std() == pytest.approx(spread, rel=SIGMAS / np.sqrt(4000))
    assert abs(np.corrcoef(gains, reads)[0, 1]) < SIGMAS / np.sqrt(2000)


def test_an_estimate_without_errors_is_the_truth() -> None:
    camera = Camera(1e-3, 2e-6, white_dn=1000, black_dn=64, row_variance=3e-7)
    estimate = estimated_noise(camera, np.random.default_rng(0), gain_error=0.0, read_error=0.0)
    np.testing.assert_array_equal(estimate.gain, camera.noise_model().gain)
    np.testing.assert_array_equal(estimate.read_variance, camera.noise_model().read_variance)
    assert estimate.green_read_variance == pytest.approx(2e-6 + 1e-6 / 12 + 3e-7, rel=1e-12)


def test_the_standard_camera() -> None:
    camera = camera_at(1e-3)
    assert camera.read_variance == pytest.approx(9.5753e-7, rel=1e-4)
    assert (camera.white_dn, camera.black_dn) == (15871, 512)
