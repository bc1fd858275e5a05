"""Metrics against scikit-image, against noise of known size, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import InputError
from rawkd.metrics import BiasCurve, bias_permille, gmsd, noise_left, psnr, ssim
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic

skimage = pytest.importorskip("skimage.metrics", reason="needs scikit-image")


def pictures(seed: int, shape: tuple[int, ...] = (24, 31)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    clean = rng.random(shape).astype(np.float32)
    return (clean + 0.1 * rng.standard_normal(shape)).astype(np.float32), clean


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(0.1, 300))
def test_psnr_is_scikit_images(seed: int, data_range: float) -> None:
    noisy, clean = (picture.astype(np.float64) for picture in pictures(seed))
    theirs = skimage.peak_signal_noise_ratio(clean, noisy, data_range=data_range)
    assert psnr(noisy, clean, data_range) == pytest.approx(theirs, abs=1e-9)


def test_psnr_of_a_known_error() -> None:
    clean = np.zeros((8, 8), np.float32)
    assert psnr(clean + np.float32(0.1), clean) == pytest.approx(20, abs=1e-5)  # float32 of 0.1
    assert psnr(clean, clean) == float("inf")


def test_ssim_is_the_papers() -> None:
    """Wang et al.'s definition, written out with explicit windows at one place."""
    noisy, clean = (picture[:11, :11].astype(np.float64) for picture in pictures(3))
    place = np.arange(11) - 5
    weight = np.exp(-(place**2) / (2 * 1.5**2))
    window = np.outer(weight, weight) / weight.sum() ** 2
    mean = [(window * picture).sum() for picture in (noisy, clean)]
    var = [(window * picture**2).sum() - m**2 for picture, m in zip((noisy, clean), mean, strict=True)]
    both = (window * noisy * clean).sum() - mean[0] * mean[1]
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mean[0] * mean[1] + c1) * (2 * both + c2) / ((mean[0] ** 2 + mean[1] ** 2 + c1) * (sum(var) + c2))
    assert ssim(noisy, clean) == pytest.approx(expected, abs=1e-12)


def test_ssim_of_channels_and_windows() -> None:
    noisy, clean = pictures(5, (3, 20, 20))
    each = [ssim(noisy[c], clean[c], window="uniform") for c in range(3)]
    assert ssim(noisy, clean, window="uniform", channel_axis=0) == pytest.approx(np.mean(each), abs=1e-12)
    assert ssim(noisy, clean, channel_axis=0) != pytest.approx(np.mean(each), abs=1e-4)
    assert ssim(clean, clean, channel_axis=0) == pytest.approx(1)
    with pytest.raises(InputError, match="too small"):
        ssim(noisy[0, :6, :6], clean[0, :6, :6])


@pytest.mark.parametrize("function", [psnr, ssim, bias_permille])
def test_other_shapes_are_refused(function: object) -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        function(np.ones((16, 16)), np.ones((16, 18)))  # type: ignore[operator]


def test_values_that_are_not_finite_are_refused() -> None:
    broken = np.full((16, 16), np.nan)
    with pytest.raises(InputError, match="not finite"):
        psnr(broken, np.zeros((16, 16)))


def test_bias() -> None:
    clean = np.full((10, 10), 0.2, np.float32)
    assert bias_permille(clean * np.float32(1.003), clean) == pytest.approx(3, abs=1e-3)
    with pytest.raises(InputError, match="black"):
        bias_permille(clean, 0 * clean)


@pytest.mark.parametrize("pattern", BAYER_PHASES)
def test_noise_left_is_that_of_flat_areas(pattern: CFAPattern) -> None:
    """The left half is flat with noise 0.01, the right half texture with ten times the error; planes differ in level.

    40 blocks of 16 x 16 are a tenth of 400: the spread of the estimate is 0.01 / sqrt(2 * 40 * 256) < 1 %.
    """
    rng = np.random.default_rng(1)
    clean = np.full((322, 322), 0.4)
    clean[::2] = 0.2
    clean[:, 160:] += 0.1 * rng.random((322, 162))
    error = 0.01 * rng.standard_normal(clean.shape)
    error[:, 160:] *= 10
    noisy = Mosaic((clean + error).astype(np.float32), pattern)
    reference = Mosaic(clean.astype(np.float32), pattern)
    assert noise_left(noisy, reference) == pytest.approx(0.01, rel=0.03)
    biased = Mosaic(noisy.data + np.float32(0.05), pattern)
    assert noise_left(biased, reference) == pytest.approx(noise_left(noisy, reference), rel=1e-4)
    with pytest.raises(InputError, match="cannot be compared"):
        noise_left(noisy, Mosaic(reference.data[:-2], pattern))


def test_bias_curve_adds_up() -> None:
    noisy, clean = pictures(7)
    curve = BiasCurve()
    curve.add(noisy, clean)
    curve.add(noisy + np.float32(0.5), clean)
    points = curve.points()
    assert sum(count for _, _, count in points) == 2 * clean.size
    total = sum(error * count for _, error, count in points)
    assert total == pytest.approx(2 * (noisy - clean).sum(dtype=np.float64) + 0.5 * clean.size, rel=1e-4)
    levels = [level for level, _, _ in points]
    assert levels == sorted(levels)


def test_gmsd_worked_by_hand() -> None:
    """Halved, a step of 100 against a flat picture: gradients by Prewitt, similarity c / (g^2 + c) beside the step."""
    flat = np.full((16, 16), 100.0)
    step = flat.copy()
    step[:, 8:] = 200.0
    gradients = np.zeros((2, 8, 8))
    for index, picture in enumerate((flat, step)):
        wide = np.pad(picture[::2, ::2], 1)
        for row in range(8):
            for column in range(8):
                block = wide[row : row + 3, column : column + 3]
                across = (block[:, 2] - block[:, 0]).sum() / 3
                down = (block[2] - block[0]).sum() / 3
                gradients[index, row, column] = np.hypot(across, down)
    similarity = (2 * gradients[0] * gradients[1] + 170) / (gradients[0] ** 2 + gradients[1] ** 2 + 170)
    assert gmsd(step, flat, 255) == pytest.approx(similarity.std())
    assert gmsd(step / 255, flat / 255) == pytest.approx(similarity.std())
    assert similarity[4, 3] == pytest.approx(170 / (100.0**2 + 170))


def test_gmsd_of_equal_pictures_is_nothing_and_grows_with_blur() -> None:
    picture = np.random.default_rng(1).uniform(0, 1, (64, 64))
    soft = (picture + np.roll(picture, 1, 0) + np.roll(picture, 1, 1)) / 3
    softer = (soft + np.roll(soft, 2, 0) + np.roll(soft, 2, 1)) / 3
    assert gmsd(picture, picture) == 0
    assert 0 < gmsd(soft, picture) < gmsd(softer, picture)


@pytest.mark.parametrize("shape", [(3, 3), (3, 16, 16), (16, 15)])
def test_gmsd_refuses_what_is_no_pair_of_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="cannot be compared"):
        gmsd(np.zeros(shape), np.zeros((16, 16)))
