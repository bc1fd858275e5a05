"""Unprocessing: its formulas, its table, and that the ISP undoes it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawkd.errors import InputError
from rawkd.render.color import camera_from_rgb, tone
from rawkd.render.isp import process
from rawkd.sensor.cfa import pack
from rawkd.training.data.unprocess import (
    CAMERA_FROM_XYZ,
    Look,
    expand_gamma,
    inverse_tone,
    linearise,
    random_look,
    unprocess,
)


def developed(signal: np.ndarray, look: Look) -> np.ndarray:
    """The ISP with the gains passed, and tone: (H, W, 3)."""
    return np.moveaxis(tone(process(pack(signal), look.metadata())), 0, -1)


def smooth_picture(size: int = 128) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return np.stack([0.45 + 0.25 * np.sin(5 * x), 0.45 + 0.25 * np.cos(4 * y), 0.4 + 0.2 * np.sin(3 * (x + y))], -1)


def test_tone_and_its_inverse() -> None:
    x = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(inverse_tone(tone(x)), x, atol=1e-7)  # the slope of tone is 0 at its ends
    inner = x[100:-100]
    np.testing.assert_allclose(inverse_tone(tone(inner)), inner, atol=1e-12)
    np.testing.assert_allclose(inverse_tone(np.array([-1.0, 2.0])), [0, 1], atol=1e-12)
    np.testing.assert_allclose(expand_gamma(np.array([-1.0, 0.5])), [1e-8**2.2, 0.5**2.2])


def test_the_table_of_8_bits_is_the_formula() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 18, 3), dtype=np.uint8)
    np.testing.assert_allclose(linearise(picture), linearise(picture / 255.0), atol=1e-7)
    look = random_look(np.random.default_rng(1))
    np.testing.assert_allclose(unprocess(picture, look), unprocess(picture / 255.0, look), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("wide", [True, False])
def test_the_isp_gives_a_smooth_picture_back(seed: int, wide: bool) -> None:
    look = random_look(np.random.default_rng(seed), wide=wide)
    if look.rgb_gain < 0.5:  # the brightened tenth saturates the raw
        look = replace(look, rgb_gain=5 * look.rgb_gain)
    picture = smooth_picture()
    back = developed(unprocess(picture, look), look)
    inner = slice(4, -4)
    np.testing.assert_allclose(back[inner, inner], picture[inner, inner], atol=1.5 / 255)
    wrong = Look(look.camera_from_rgb, look.red_gain * 1.05, look.blue_gain, look.rgb_gain)
    assert np.abs(developed(unprocess(picture, look), wrong) - picture)[inner, inner].max() > 4 / 255


@given(red=st.floats(0.15, 0.7), green=st.floats(0.15, 0.7), blue=st.floats(0.15, 0.7), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_the_isp_gives_flat_colours_back(red: float, green: float, blue: float, seed: int) -> None:
    look = random_look(np.random.default_rng(seed), wide=False)
    picture = np.broadcast_to(np.array([red, green, blue]), (8, 8, 3))
    linear = linearise(picture)[0, 0] @ look.camera_from_rgb.T
    if linear.min() < 0:  # outside what this camera can see: clipped by definition
        return
    np.testing.assert_allclose(developed(unprocess(picture, look), look), picture, atol=2e-4)


def test_white_stays_saturated_and_grey_is_the_gains() -> None:
    look = Look(camera_from_rgb(CAMERA_FROM_XYZ[0]), 2.0, 1.5, 1.25)
    np.testing.assert_allclose(unprocess(np.ones((4, 4, 3)), look), 1, atol=1e-6)
    planes = pack(unprocess(np.full((4, 4, 3), 0.5), look))
    linear = 0.5**2.2
    np.testing.assert_allclose(planes[:, 0, 0], linear / np.array([2.5, 1.25, 1.25, 1.875]), rtol=1e-5)


def test_it_is_the_written_formula_at_every_site() -> None:
    picture = np.random.default_rng(2).random((9, 7, 3))  # odd sizes too
    look = random_look(np.random.default_rng(3))
    camera = np.maximum(inverse_tone(picture), 1e-8) ** 2.2 @ look.camera_from_rgb.T
    gains = np.array([1 / look.red_gain, 1.0, 1 / look.blue_gain]) / look.rgb_gain
    mask = (np.maximum(camera.mean(axis=-1, keepdims=True) - 0.9, 0) / 0.1) ** 2
    full = np.clip(camera * np.maximum(mask + (1 - mask) * gains, gains), 0, 1)
    site = np.array([[0, 1], [1, 2]])[np.arange(9)[:, None] % 2, np.arange(7) % 2]
    expected = np.take_along_axis(full, site[..., None], -1)[..., 0]
    signal = unprocess(picture, look)
    assert signal.dtype == np.float32
    np.testing.assert_allclose(signal, expected, atol=2e-6)


def test_looks_are_plausible_and_repeatable() -> None:
    looks = [random_look(np.random.default_rng(seed)) for seed in range(200)]
    for look in looks:
        np.testing.assert_allclose(look.camera_from_rgb.sum(axis=1), 1, atol=1e-12)
        assert 1.4 <= look.red_gain <= 2.5
        assert 1.5 <= look.blue_gain <= 2.4
    brightened = sum(look.rgb_gain < 0.5 for look in looks)
    assert 5 <= brightened <= 40  # binomial(200, 0.1): beyond 3.5 standard deviations on either side
    narrow = [random_look(np.random.default_rng(seed), wide=False) for seed in range(200)]
    assert all(1.9 <= look.red_gain <= 2.4 and 1.5 <= look.blue_gain <= 1.9 for look in narrow)
    assert min(look.rgb_gain for look in narrow) > 0.7
    again = random_look(np.random.default_rng(7))
    np.testing.assert_array_equal(again.camera_from_rgb, looks[7].camera_from_rgb)


def test_wrong_pictures_are_refused() -> None:
    look = random_look(np.random.default_rng(0))
    with pytest.raises(InputError, match="int16"):
        unprocess(np.zeros((4, 4, 3), np.int16), look)
    with pytest.raises(InputError, match="picture must be an"):
        unprocess(np.zeros((4, 4), np.uint8), look)
