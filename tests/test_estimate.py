"""Blind estimation: right on scenes with texture, clipping, saturation and dead areas; honest where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from noisy_scenes import leaves, noisy
from scipy.ndimage import gaussian_filter
from scipy.optimize import nnls

from rawkd.errors import NoiseError
from rawkd.files.read.raw import read_raw
from rawkd.photo import BAYER_PHASES, CFAPattern, Mosaic
from rawkd.sensor.blind.blocks import LUMA, NOISE, block_statistics
from rawkd.sensor.blind.clipping import unclipped
from rawkd.sensor.blind.estimate import estimate_noise
from rawkd.sensor.blind.fit import fit_line
from rawkd.sensor.blind.least_squares import non_negative
from rawkd.sensor.noise import read_variance_prior

FLOOR = -512 / 15871


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return leaves()


class TestBlocks:
    def test_white_noise_has_its_variance_in_every_band(self) -> None:
        """Standard error of a mean of squares over n samples: sqrt(2 / n)."""
        data = np.random.default_rng(0).normal(0.5, 0.01, (1024, 1024)).astype(np.float32)
        for scale in (1, 2):
            blocks = block_statistics(Mosaic(data, CFAPattern.GBRG), saturation=1, num_blocks=10**6, scale=scale)
            count = len(blocks.level)
            assert blocks.energy.mean() == pytest.approx(1e-4, rel=5 * np.sqrt(2 / (4 * count * NOISE.sum())))
            assert 4 * blocks.luma_energy.mean() == pytest.approx(1e-4, rel=5 * np.sqrt(2 / (count * LUMA.sum())))

    def test_bands_share_no_coefficient(self) -> None:
        assert not (NOISE & LUMA).any()
        assert not NOISE[0]
        assert not LUMA[0]

    def test_a_slope_is_no_noise(self) -> None:
        rows, columns = np.mgrid[0:256, 0:256]
        slope = (0.2 + 0.002 * rows - 0.0005 * columns).astype(np.float32)
        blocks = block_statistics(Mosaic(slope, CFAPattern.RGGB), saturation=1, num_blocks=1000)
        assert blocks.energy.max() < 1e-12

    def test_saturated_and_constant_blocks_are_left_out(self) -> None:
        data = np.random.default_rng(0).normal(0.5, 0.01, (64, 64)).astype(np.float32)
        data[:16] = 1.0
        data[16:32, :32] = 0.0
        blocks = block_statistics(Mosaic(data, CFAPattern.RGGB), saturation=1, num_blocks=1000)
        assert len(blocks.level) == 16 - 4 - 2

    @pytest.mark.parametrize("pattern", BAYER_PHASES)
    def test_planes_are_named_right_in_every_phase(self, pattern: CFAPattern) -> None:
        plane = pattern.class_of_site.astype(np.float32)
        data = np.tile(plane, (25, 24))[:49, :47] + np.random.default_rng(0).normal(0, 0.01, (49, 47))
        mosaic = Mosaic(np.ascontiguousarray(data, np.float32), pattern)
        blocks = block_statistics(mosaic, saturation=10, num_blocks=1000)
        np.testing.assert_allclose(blocks.level, np.tile([0, 1, 2, 3], (len(blocks.level), 1)), atol=0.01)

    def test_few_blocks_are_spread_over_all_of_a_large_picture(self) -> None:
        data = np.random.default_rng(0).normal(0, 0.001, (1600, 1600)) + np.linspace(0, 1, 1600)
        mosaic = Mosaic(data.astype(np.float32), CFAPattern.RGGB)
        blocks = block_statistics(mosaic, saturation=10, num_blocks=100)
        assert len(blocks.level) == 100
        assert blocks.level.min() < 0.01
        assert blocks.level.max() > 0.99


@pytest.mark.parametrize("height", [-0.5, 0.0, 1.0, 2.0, 4.0])
def test_clipping_is_undone(height: float) -> None:
    """Against drawn Gaussians; the standard errors of mean and variance of 10^6 samples are 0.1 and 0.14 %."""
    floor, read = -0.01, 1e-4
    signal = max(floor + height * 0.01, 0.0)
    drawn = np.random.default_rng(3).normal(signal, 0.01, 10**6)
    cut = np.maximum(drawn, floor)
    found, kept = unclipped(np.array([cut.mean()]), 1e-9, read, floor)
    assert found[0] == pytest.approx(signal, abs=1e-4)
    assert cut.var() / kept[0] == pytest.approx(read, rel=0.015)


def test_clipping_left_alone_would_be_wrong() -> None:
    cut = np.maximum(np.random.default_rng(3).normal(0, 0.01, 10**6), 0)
    assert cut.var() < 0.5 * 1e-4


@given(arrays(np.float64, (7, 4), elements=st.floats(-3, 3)), arrays(np.float64, 7, elements=st.floats(-3, 3)))
def test_non_negative_least_squares_as_scipy(matrix: np.ndarray, target: np.ndarray) -> None:
    matrix = np.vstack([matrix, 0.1 * np.eye(4)])
    target = np.append(target, np.zeros(4))
    expected, _ = nnls(matrix, target)
    np.testing.assert_allclose(non_negative(matrix.T @ matrix, matrix.T @ target), expected, atol=1e-8)


FROZEN = {
    CFAPattern.RGGB: (0.002010753583499819, 4.89783041584051e-06, 0.8888227118827173, 0.01247749540131539),
    CFAPattern.XTRANS: (0.009870162195006808, 3.2642082195769348e-06, 0.8317799958772936, 0.008688978346353349),
}
"""Gain, read variance, confidence and relative error before the estimate was made faster."""


@pytest.mark.parametrize("pattern", FROZEN, ids=str)
def test_the_result_is_frozen(pattern: CFAPattern) -> None:
    """With texture, clipping at both ends and a half scale. Sums of float32 in another order differ by less than 1e-6.

    X-Trans sees a scene of Bayer, whose colours are texture to it.
    """
    scene = noisy(leaves(768, seed=4, texture=0.15) * 0.3, 2e-3, 4e-6, floor=-2e-3)
    found = estimate_noise(Mosaic(scene.data, pattern), saturation=0.28, floor=-2e-3, step=1e-4)
    values = (found.gain, found.read_variance, found.confidence, found.relative_error)
    assert values == pytest.approx(FROZEN[pattern], rel=1e-6)


class TestScenes:
    @pytest.mark.parametrize("texture", [0.0, 0.15, 0.4])
    @pytest.mark.parametrize("gain", [1e-3, 4e-3, 2e-2])
    def test_gain_of_dead_leaves_within_five_per_cent(self, gain: float, texture: float) -> None:
        read = read_variance_prior(gain)
        found = estimate_noise(noisy(leaves(texture=texture), gain, read), saturation=1)
        assert found.gain == pytest.approx(gain, rel=0.05)
        assert found.confidence > 0.8
        assert found.half_scale_ratio == pytest.approx(1, abs=0.2)

    @pytest.mark.parametrize("gain", [1e-3, 4e-3])
    def test_a_black_level_that_clips_does_no_harm(self, scene: np.ndarray, gain: float) -> None:
        read = 4 * read_variance_prior(gain)
        found = estimate_noise(noisy(scene * 0.3, gain, read, floor=0), saturation=1, floor=0)
        assert found.gain == pytest.approx(gain, rel=0.1)

    def test_clipping_not_told_of_would_harm(self, scene: np.ndarray) -> None:
        """The twin: the same pixels, told that nothing was clipped."""
        gain = 4e-3
        read = 4 * read_variance_prior(gain)
        dark = noisy(scene * 0.05, gain, read, floor=0)
        told = estimate_noise(dark, saturation=1, floor=0)
        untold = estimate_noise(dark, saturation=1)
        at = 0.01
        true = gain * at + read
        assert abs(np.log(told.gain * at + told.read_variance) - np.log(true)) < 0.15
        assert untold.gain * at + untold.read_variance < 0.8 * true

    def test_read_variance_where_the_dark_shows_it(self) -> None:
        ramp = np.tile(np.linspace(0, 0.3, 1024), (1024, 1))
        found = estimate_noise(noisy(ramp, 2e-4, 3e-6), saturation=1)
        assert found.gain == pytest.approx(2e-4, rel=0.05)
        assert found.read_variance == pytest.approx(3e-6, rel=0.1)

    def test_one_flat_level_finds_the_variance_there(self) -> None:
        found = estimate_noise(noisy(np.full((512, 512), 0.2), 1e-3, 1e-6), saturation=1)
        assert found.gain * 0.2 + found.read_variance == pytest.approx(2.01e-4, rel=0.03)
        assert found.relative_error < 0.03

    def test_blown_and_dead_areas_are_passed_over(self, scene: np.ndarray) -> None:
        clean = scene.copy()
        clean[:, :300] = 1.5
        mosaic = noisy(clean, 1e-3, 1e-6)
        mosaic.data[600:, 400:700] = 0
        found = estimate_noise(mosaic, saturation=1, floor=FLOOR)
        assert found.gain == pytest.approx(1e-3, rel=0.05)

    def test_hot_pixels_are_passed_over(self, scene: np.ndarray) -> None:
        mosaic = noisy(scene, 1e-3, 1e-6)
        hot = np.random.default_rng(2).random(scene.shape) < 2e-4
        mosaic.data[hot] = 0.9
        assert estimate_noise(mosaic, saturation=1).gain == pytest.approx(1e-3, rel=0.05)

    @pytest.mark.parametrize("pattern", BAYER_PHASES)
    def test_any_phase_and_odd_sizes(self, scene: np.ndarray, pattern: CFAPattern) -> None:
        top, left = {"RGGB": (0, 0), "GBRG": (1, 0), "GRBG": (0, 1), "BGGR": (1, 1)}[pattern.colours]
        mosaic = noisy(scene[top:801, left:757], 1e-3, 1e-6, pattern=pattern)
        assert estimate_noise(mosaic, saturation=1).gain == pytest.approx(1e-3, rel=0.05)

    @pytest.mark.parametrize(("side", "factor"), [(192, 2.0), (320, 1.3)])
    def test_small_pictures(self, side: int, factor: float) -> None:
        found = [
            estimate_noise(noisy(leaves(side, seed=seed), 4e-3, 1e-5, seed=seed), saturation=1).gain / 4e-3
            for seed in range(5)
        ]
        assert np.abs(np.log2(found)).max() < np.log2(factor)

    def test_texture_everywhere_is_not_sure_of_itself(self) -> None:
        grass = gaussian_filter(np.random.default_rng(0).standard_normal((512, 512)), 0.8)
        clean = np.clip(0.2 * (1 + 0.5 * grass), 0, 1)
        found = estimate_noise(noisy(clean, 1e-4, 1e-8), saturation=1)
        assert found.confidence < 0.3

    @pytest.mark.parametrize("period_px", [3.0, 3.5, 5.0])
    def test_a_weave_that_fills_the_picture_is_no_noise(self, period_px: float) -> None:
        """Full of it and of one contrast, it has ten times the noise's variance at full scale, and little at half."""
        y, x = np.mgrid[:512, :768] * 2 * np.pi / period_px
        clean = 0.18 * (1 + 0.25 * np.sin(x) * np.sin(y / 1.2))
        mosaic = noisy(clean, 5e-4, 2e-7)
        found = estimate_noise(mosaic, saturation=1)
        assert 0.95 * 5e-4 < found.gain < 2 * 5e-4
        assert found.confidence < 0.5
        full_scale = fit_line(block_statistics(mosaic, saturation=1, num_blocks=8192), saturation=1, floor=None, step=0)
        assert full_scale.gain > 4 * 5e-4, "at full scale alone it would mislead"

    def test_noise_smoothed_before_us_is_called_correlated(self, scene: np.ndarray) -> None:
        noise = noisy(scene, 4e-3, 1e-5).data - scene.astype(np.float32)
        smooth = noise.copy()
        for axis in (0, 1):
            smooth = 0.25 * np.roll(smooth, 2, axis) + 0.5 * smooth + 0.25 * np.roll(smooth, -2, axis)
        for part, correlated in ((smooth, True), (noise, False)):
            found = estimate_noise(Mosaic(scene.astype(np.float32) + part, CFAPattern.RGGB), saturation=1)
            assert found.correlated is correlated

    def test_quantisation_is_the_least_read_variance(self) -> None:
        step = 1 / 255
        mosaic = noisy(np.tile(np.linspace(0, 0.5, 512), (512, 1)), 1e-6, 1e-9)
        coarse = Mosaic(np.round(mosaic.data / np.float32(step)) * np.float32(step), CFAPattern.RGGB)
        assert estimate_noise(coarse, saturation=1, step=step).read_variance >= step**2 / 12

    @pytest.mark.parametrize("shape", [(1, 1), (15, 400), (64, 64)])
    def test_tiny_pictures_are_refused(self, shape: tuple[int, int]) -> None:
        with pytest.raises(NoiseError, match="blocks"):
            estimate_noise(noisy(np.full(shape, 0.2), 1e-3, 1e-6), saturation=1)

    def test_a_constant_picture_is_refused(self) -> None:
        with pytest.raises(NoiseError, match="blocks"):
            estimate_noise(Mosaic(np.zeros((512, 512), np.float32), CFAPattern.RGGB), saturation=1)

    def test_a_black_frame_of_read_noise_alone(self) -> None:
        found = estimate_noise(noisy(np.zeros((512, 512)), 1e-3, 4e-6), saturation=1, floor=FLOOR)
        assert found.read_variance == pytest.approx(4e-6, rel=0.1)


class TestWrongBlack:
    """A black level that is too low by `offset` of the range."""

    @pytest.mark.parametrize("offset", [0.0, 0.03, 0.06])
    @pytest.mark.parametrize("brightness", [1.0, 0.3])
    def test_the_noise_vanishes_at_the_true_black(self, offset: float, brightness: float) -> None:
        data = noisy(leaves(brightness=brightness), 1e-3, 1e-6).data
        mosaic = Mosaic(np.float32((data + offset) / (1 + offset)), CFAPattern.RGGB)
        found = estimate_noise(mosaic, saturation=1).vanishes_at
        assert found is None if offset == 0 else found == pytest.approx(offset / (1 + offset), rel=0.2)

    @pytest.mark.parametrize("texture", [0.4, 1.0])
    def test_texture_is_no_wrong_black(self, texture: float) -> None:
        assert estimate_noise(noisy(leaves(texture=texture), 1e-4, 1e-7), saturation=1).vanishes_at is None

    def test_noise_cut_off_at_black_is_no_wrong_black(self) -> None:
        dark = noisy(leaves(brightness=0.03), 1e-3, 1e-4, floor=0)
        found = estimate_noise(dark, saturation=1, floor=0)
        assert found.vanishes_at is None
        assert found.cut_off == pytest.approx(float((dark.data <= 0).mean()), abs=0.02)

    def test_a_black_level_of_half_a_deviation_is_enough(self) -> None:
        dark = noisy(leaves(brightness=0.03), 1e-3, 1e-4, floor=-0.005)
        found = estimate_noise(dark, saturation=1, floor=-0.005)
        assert (dark.data <= -0.005).mean() > 0.1
        assert found.cut_off == 0
        assert found.gain == pytest.approx(1e-3, rel=0.1)

    def test_dead_areas_are_not_cut_off(self) -> None:
        mosaic = noisy(leaves(), 1e-3, 1e-6)
        mosaic.data[:300] = FLOOR
        assert estimate_noise(mosaic, saturation=1, floor=FLOOR).cut_off == 0


class TestColours:
    """A codec or the camera may change the noise of one colour; cameras alone hardly do."""

    @staticmethod
    def with_blue(clean: np.ndarray, share: float) -> Mosaic:
        """Noise of gain 1e-3, in blue this share of it."""
        data = noisy(clean, 1e-3, 1e-6).data.copy()
        data[1::2, 1::2] = noisy(clean, 1e-3 * share, 1e-6 * share).data[1::2, 1::2]
        return Mosaic(data, CFAPattern.RGGB)

    def test_a_quiet_colour_has_a_line_of_its_own(self) -> None:
        found = estimate_noise(self.with_blue(leaves(1024), 0.35), saturation=1)
        assert found.colours_differ
        gain = found.model("pixels").gain
        assert gain[:3] == pytest.approx(1e-3, rel=0.15)
        assert gain[3] == pytest.approx(3.5e-4, rel=0.15)

    @pytest.mark.parametrize("texture", [0.15, 0.5])
    def test_equal_colours_share_one(self, texture: float) -> None:
        found = estimate_noise(self.with_blue(leaves(1024, texture=texture), 1.0), saturation=1)
        assert not found.colours_differ
        np.testing.assert_array_equal(found.model("pixels").gain, found.gain)

    @pytest.mark.parametrize(("gain", "read", "bright", "blue"), [(1e-3, 9e-6, 0.1, 0.1), (4e-3, 1.6e-4, 0.3, 0.02)])
    def test_a_colour_clipped_at_black_is_not_quiet(self, gain: float, read: float, bright: float, blue: float) -> None:
        """Blue in candle light: clipping at DN 0 takes away more than half of its noise."""
        clean = bright * leaves(1024)
        clean[1::2, 1::2] *= blue
        mosaic = noisy(clean, gain, read, floor=0.0)
        assert not estimate_noise(mosaic, saturation=1, floor=0.0).colours_differ

    def test_a_twentieth_of_the_picture_does_not_decide(self) -> None:
        """Only a strip is free of texture, and there something is wrong with blue."""
        rng = np.random.default_rng(4)
        clean = np.full((1024, 1024), 0.2)
        clean[:, 50:] *= np.repeat(1 + 0.3 * rng.standard_normal((512, 487)), 2, 0).repeat(2, 1)
        quiet = self.with_blue(np.clip(clean, 0, 1), 0.3).data
        quiet[:, 50:] = noisy(np.clip(clean, 0, 1), 1e-3, 1e-6).data[:, 50:]
        assert not estimate_noise(Mosaic(quiet, CFAPattern.RGGB), saturation=1).colours_differ

    def test_texture_of_one_colour_is_no_noise(self) -> None:
        """Texture in blue alone, as of a fabric, is no noise of blue."""
        rng = np.random.default_rng(3)
        clean = np.full((1024, 1024), 0.2)
        clean[1::2, 1::2] *= 1 + 0.25 * rng.standard_normal((512, 512)) * (np.arange(512) > 40)
        found = estimate_noise(noisy(np.clip(clean, 0, 1), 1e-3, 1e-6), saturation=1)
        assert not found.colours_differ


class TestRealFiles:
    @pytest.mark.parametrize("name", ["canon-s40-box.crw", "canon-s40-box-wide.crw", "canon-g2-chart.crw"])
    def test_small_sensor_at_iso_50(self, data: Path, name: str) -> None:
        """The files' README states a gain of about 1.3e-4."""
        photo = read_raw(data / "raw" / name)
        found = estimate_noise(photo.mosaic, saturation=photo.levels.saturation)
        assert 0.9e-4 < found.gain < 1.6e-4
        assert not found.correlated

    def test_wavelet_codec_is_called_correlated(self, data: Path) -> None:
        photo = read_raw(data / "raw" / "gopro-hero7-chart-noiseprofile.dng")
        found = estimate_noise(photo.mosaic, saturation=photo.levels.saturation, floor=0.0)
        assert found.correlated
        assert 1e-4 < found.gain < 4.17e-4
