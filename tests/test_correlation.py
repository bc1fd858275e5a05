"""Correlated noise: measured in flat areas, corrected for in the estimate; white noise and texture stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from noisy_scenes import leaves, noisy
from scipy.ndimage import convolve1d, gaussian_filter
from small_photos import noisy_photo

from rawkd.cli.inspect.text import _noise
from rawkd.compare.noise_plot import noise_chart
from rawkd.files.write.drawing import Dots, Drawing, Line, Text
from rawkd.photo import CFAPattern, FloatArray, Mosaic, Tag
from rawkd.sensor.blind import estimate
from rawkd.sensor.blind.blocks import LUMA, NOISE, block_statistics
from rawkd.sensor.blind.correlation import SIGNIFICANT, WHITE, Correlation, measure_correlation
from rawkd.sensor.blind.estimate import estimate_noise
from rawkd.sensor.cfa import pack, unpack
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.training.data.synthesize import Camera, add_noise

GAIN, READ = 4e-3, 1e-5
FULL_FRAME = (Tag(41989, 3, 1, (50).to_bytes(2, "little")),)


def of_neighbours(share: float) -> float:
    """Correlation of direct neighbours of white noise after the taps (share, 1 - 2 share, share)."""
    return 2 * share * (1 - 2 * share) / ((1 - 2 * share) ** 2 + 2 * share**2)


def smoothed_planes(across: float, down: float, *, side: int = 512, seed: int = 0) -> FloatArray:
    """Four planes of Gaussian noise of variance 1, smoothed by three taps along each axis."""
    noise = np.random.default_rng(seed).standard_normal((4, side, side))
    for axis, share in ((2, across), (1, down)):
        taps = np.array([share, 1 - 2 * share, share])
        noise = convolve1d(noise, taps / np.linalg.norm(taps), axis=axis, mode="wrap")
    return np.asarray(noise, np.float32)


def with_smoothed_noise(clean: np.ndarray, smoothing: float) -> Mosaic:
    camera = Camera(GAIN, READ, smoothing=smoothing)
    planes = add_noise(pack(clean.astype(np.float32)), camera, np.random.default_rng(1))
    return Mosaic(unpack(planes), CFAPattern.RGGB)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return leaves()


@pytest.mark.parametrize(("across", "down"), [(0.1, 0.1), (0.2, 0.08), (0.25, 0.25)])
def test_correlation_of_a_known_filter(across: float, down: float) -> None:
    """1,024 blocks of 49 coefficients: the standard error of a correlation is below 1.5 / sqrt(50,000) = 0.007.

    A direction told wrong would be off by 0.35 in the second case.
    """
    data = unpack(0.5 + 0.01 * smoothed_planes(across, down)).astype(np.float32)
    found = measure_correlation(Mosaic(data, CFAPattern.RGGB), saturation=1, num_blocks=10**6)
    assert found.horizontal == pytest.approx(of_neighbours(across), abs=0.03)
    assert found.vertical == pytest.approx(of_neighbours(down), abs=0.03)


@pytest.mark.parametrize("scale", [1, 2])
def test_shares_are_those_of_smoothed_noise(scale: int) -> None:
    """Noise of variance 1. Energies spread by sqrt(2 / n), twice as much where few coefficients hold the energy."""
    correlation = Correlation(of_neighbours(0.2), of_neighbours(0.1))
    data = Mosaic(unpack(smoothed_planes(0.2, 0.1)), CFAPattern.RGGB)
    blocks = block_statistics(data, saturation=100, num_blocks=10**6, scale=scale)
    noise_share, luma_share = correlation.shares(scale)
    count = len(blocks.level)
    assert blocks.energy.mean() == pytest.approx(noise_share, rel=5 * np.sqrt(2 * 4 / (4 * count * NOISE.sum())))
    assert 4 * blocks.luma_energy.mean() == pytest.approx(luma_share, rel=5 * np.sqrt(2 * 4 / (count * LUMA.sum())))
    assert abs(noise_share - 1) > 0.3, "white noise would not pass"


@pytest.mark.parametrize("smoothing", [0.1, 0.2, 0.25])
def test_the_variance_of_a_pixel_is_found(scene: np.ndarray, smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 10 %; not knowing of the correlation, the estimate is wrong by more than 25 % (the twin)."""
    mosaic = with_smoothed_noise(scene, smoothing)
    found = estimate_noise(mosaic, saturation=1)
    true = GAIN * found.level + READ
    assert found.correlated
    assert found.gain * found.level + found.read_variance == pytest.approx(true, rel=0.1)
    monkeypatch.setattr(estimate, "measure_correlation", lambda *_args, **_options: WHITE)
    blind = estimate_noise(mosaic, saturation=1)
    assert abs(np.log((blind.gain * found.level + blind.read_variance) / true)) > np.log(1.25)


def test_white_noise_is_estimated_as_if_nothing_were_measured(
    scene: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic = noisy(scene, GAIN, READ)
    found = estimate_noise(mosaic, saturation=1)
    assert found.correlation == WHITE
    monkeypatch.setattr(estimate, "measure_correlation", lambda *_args, **_options: WHITE)
    blind = estimate_noise(mosaic, saturation=1)
    assert (found.gain, found.read_variance, found.confidence) == (blind.gain, blind.read_variance, blind.confidence)


def grass() -> np.ndarray:
    """Texture that falls off like smoothed noise, as strong as the noise of gain 2e-2 and ten times that of 1e-4."""
    blades = gaussian_filter(np.random.default_rng(0).standard_normal((768, 768)), 1.0)
    return np.clip(0.2 + 0.05 * blades / blades.std(), 0, 1)


def slats() -> np.ndarray:
    """Faint fine lines of many directions and periods on half of the picture."""
    y, x = np.mgrid[:768, :768]
    lines = sum(np.sin(2 * np.pi * (x * np.cos(t) + y * np.sin(t)) / p) for t, p in ((0.2, 7), (0.9, 11), (1.4, 5)))
    return 0.2 * (1 + 0.02 * lines * (x < 384))


@pytest.mark.parametrize("clean", [grass(), slats(), leaves(768, texture=0.4)], ids=["grass", "slats", "leaves"])
@pytest.mark.parametrize("gain", [1e-4, 2e-2])
def test_texture_is_no_correlated_noise(clean: np.ndarray, gain: float) -> None:
    assert measure_correlation(noisy(clean, gain, READ), saturation=1, num_blocks=4096) == WHITE


def test_one_direction_is_not_enough() -> None:
    """Fine texture has one; smoothing has both."""
    assert not Correlation(0.5, SIGNIFICANT / 2).significant
    data = unpack(0.5 + 0.01 * smoothed_planes(0.2, 0.0)).astype(np.float32)
    assert measure_correlation(Mosaic(data, CFAPattern.RGGB), saturation=1, num_blocks=10**6) == WHITE


def test_a_sensor_without_two_greens_counts_as_white() -> None:
    data = unpack(0.5 + 0.01 * smoothed_planes(0.25, 0.25)).astype(np.float32)
    assert measure_correlation(Mosaic(data, CFAPattern.MONO), saturation=1, num_blocks=10**6) == WHITE


def test_flat_pictures_without_noise_count_as_white() -> None:
    data = np.full((512, 512), 0.5, np.float32)
    data[::16, ::16] += np.float32(1e-3)
    assert measure_correlation(Mosaic(data, CFAPattern.RGGB), saturation=1, num_blocks=10**6) == WHITE


def test_correlation_reaches_the_warning_and_the_plot(scene: np.ndarray) -> None:
    """The noise model carries it from either source, and the cloud of the plot is at the variance of a pixel."""
    plain = noisy_photo(*scene.shape, pattern=CFAPattern.RGGB)
    photo = replace(plain.with_mosaic(with_smoothed_noise(scene, 0.2)), noise_profile=())
    profile = (GAIN, READ) * 3
    for one in (photo, replace(photo, noise_profile=profile)):
        noise, warnings = noise_model_of(one)
        assert noise.correlation == pytest.approx((of_neighbours(0.2),) * 2, abs=0.06)
        assert any("neighbouring pixels is correlated (0.5" in warning for warning in warnings)
    heights = [cloud_over_line(noise_chart(photo, one)) for one in (noise, replace(noise, correlation=None))]
    assert abs(heights[0]) < 0.1  # texture lifts it a little
    assert heights[1] < -0.1  # the twin: what a plot for white noise would show


def test_the_cap_of_the_iso_keeps_the_warning(scene: np.ndarray) -> None:
    plain = noisy_photo(*scene.shape, pattern=CFAPattern.RGGB, iso=100)
    plain = replace(plain, capture=replace(plain.capture, focal_length_mm=50.0, exif=FULL_FRAME))
    photo = replace(plain.with_mosaic(with_smoothed_noise(scene, 0.2)), noise_profile=())
    noise, warnings = noise_model_of(photo)
    assert noise.source == "blind, capped by ISO"
    assert any("neighbouring pixels is correlated" in warning for warning in warnings)


def cloud_over_line(drawn: Drawing) -> float:
    """The median height of the cloud over the line in use, decades of variance."""
    cloud = next(item for item in drawn.items if isinstance(item, Dots) and len(item.points) > 100)
    line = next(item for item in drawn.items if isinstance(item, Line) and item.colour == "#c0392b")
    fit = np.interp(cloud.points[:, 0], line.points[:, 0], line.points[:, 1])
    marks = [float(item.y) for item in drawn.items if isinstance(item, Text) and item.text in ("0.001", "0.0001")]
    return float(np.median(fit - cloud.points[:, 1]) / np.ptp(marks))


@pytest.mark.parametrize(
    ("correlation", "line"), [([0.53, 0.481], "0.53 horizontally and 0.48 vertically"), (None, None)]
)
def test_inspect_shows_it(correlation: list[float] | None, line: str | None) -> None:
    noise = {
        "gain": [1e-3] * 4, "read_variance": [1e-6] * 4, "read_noise_dn": [1.0] * 4, "source": "blind",
        "confidence": 0.7, "correlation": correlation, "snr_mid_grey": 10.0, "snr_shadows": 2.0, "full_frame_iso": 6400,
    }  # fmt: skip
    rows = dict(_noise({"noise": noise, "noise_profile": [], "row_noise": None}))
    assert (line is None) == ("neighbours" not in rows)
    assert line is None or line in rows["neighbours"]
