"""Read noise: from masked pixels, else from dark pixels, else expected; never from the rounding to integers alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import FAULTS
from noisy_scenes import in_shadow, leaves, noisy, shaded_texture
from small_photos import noisy_photo

from rawkd.files.read.raw import read_raw
from rawkd.photo import Levels, Mosaic, RawPhoto, Rect
from rawkd.sensor.blind.blocks import block_statistics
from rawkd.sensor.blind.estimate import NoiseEstimate, estimate_noise
from rawkd.sensor.blind.first_line import first_line
from rawkd.sensor.blind.fit import fit_line
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.sensor.masked import masked_read_variance
from rawkd.sensor.noise import expected_read_variance

BLACK_DN, WHITE_DN = 128, 4095
RANGE_DN = WHITE_DN - BLACK_DN
STEP, FLOOR = 1 / RANGE_DN, -BLACK_DN / RANGE_DN
GAIN, READ_SD_DN = 4e-5, 4.5
"""A camera of the year 2000 at ISO 100: read noise dominates up to a tenth of white."""
READ = (READ_SD_DN / RANGE_DN) ** 2
HEIGHT, WIDTH, MASKED = 480, 640, 48


def in_integers(mosaic: Mosaic) -> Mosaic:
    """Rounded to whole DN."""
    return Mosaic((np.rint(mosaic.data * RANGE_DN) / RANGE_DN).astype(np.float32), mosaic.pattern)


def estimate(clean: np.ndarray, *, gain: float = GAIN, read: float = READ, seed: int = 9) -> NoiseEstimate:
    mosaic = in_integers(noisy(clean, gain, read, seed=seed, floor=FLOOR))
    return estimate_noise(mosaic, saturation=1, floor=FLOOR, step=STEP)


class TestBusyScenes:
    """Of the two kinds of scene, the fit that begins with the usual read noise found a fifth of the variance."""

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("kind", ["shade", "leaves"])
    def test_strong_read_noise_is_found(self, kind: str, seed: int) -> None:
        """Within a factor 1.5, both at the median level and in the shadows."""
        clean = shaded_texture(seed=seed) if kind == "shade" else leaves(768, texture=0.8, seed=seed, brightness=0.25)
        found = estimate(clean, seed=seed + 9)
        for level in (found.level, in_shadow(clean)):
            ratio = (found.gain * level + found.read_variance) / (GAIN * level + READ)
            assert 1 / 1.5 < ratio < 1.5
        assert found.read_known

    def test_texture_all_over_is_not_known(self) -> None:
        scene = shaded_texture(seed=1)
        texture = scene / np.roll(scene, 96, axis=0).clip(1e-3)
        found = estimate(np.clip(0.2 * texture, 0, 1))
        assert found.confidence < 0.3

    def test_two_starts_that_disagree_cost_confidence(self) -> None:
        """Begun below the line, the fit takes the dark part for texture; where both starts agree nothing is lost."""
        blocks = [
            block_statistics(noisy(scene, GAIN, read, seed=9), saturation=1, num_blocks=10**5)
            for scene, read in ((leaves(768, texture=0.8, brightness=0.25), READ), (leaves(768, texture=0), READ))
        ]
        differ, agree = (fit_line(one, saturation=1, floor=None).disagreement for one in blocks)
        assert differ > 0.5
        assert agree < 0.05

    def test_the_first_line_needs_no_idea_of_the_read_noise(self) -> None:
        for read in (READ / 1000, READ, 10 * READ):
            mosaic = noisy(leaves(768, texture=0.15), GAIN, read)
            gain, found = first_line(block_statistics(mosaic, saturation=1, num_blocks=10**5))
            level = 0.02
            assert gain * level + found == pytest.approx(GAIN * level + read, rel=0.5)


class TestUndetermined:
    def test_a_bright_scene_keeps_the_expected_read_noise(self) -> None:
        """No dark pixel tells it; the least that integers hold, step^2 / 12, is no camera's read noise."""
        clean = 0.5 + 0.3 * leaves(768, texture=0.5)
        found = estimate(clean, read=1e-9)
        assert not found.read_known
        assert found.read_variance > 0.9 * expected_read_variance(found.gain)
        assert found.read_variance > 2 * STEP**2 / 12
        level = found.level
        assert found.gain * level + found.read_variance == pytest.approx(GAIN * level, rel=0.3)

    def test_known_read_noise_stays_as_measured(self) -> None:
        """The twin: where dark pixels show less than expected, they are believed."""
        ramp = np.tile(np.linspace(0, 0.02, 768), (768, 1))
        found = estimate_noise(noisy(ramp, 1e-5, 2e-9), saturation=1)
        assert found.read_known
        assert found.read_variance == pytest.approx(2e-9, rel=0.3)
        assert found.read_variance < 0.5 * expected_read_variance(1e-5)

    def test_the_same_variance_at_all_levels_leaves_shot_noise_in_it(self) -> None:
        """It may be read noise alone; but a gain of nothing finds no network, and would leave the photo as it is."""
        ramp = np.tile(np.linspace(0.05, 0.4, 512), (512, 1))
        found = estimate(ramp, gain=1e-9, read=1e-5)
        assert found.gain >= 4 * found.read_variance
        assert found.gain * found.level + found.read_variance == pytest.approx(1e-5, rel=0.2)

    def test_noise_in_the_shadows_is_warned_of(self) -> None:
        """Shadows that hold nothing but texture: the noise there is not known, and a line says so."""
        dark = shaded_texture(seed=2) * 0.1
        clean = np.where(np.arange(768)[:, None] < 500, 0.6, dark * (1 + 0.5 * np.sign(np.sin(np.arange(768) * 2.1))))
        photo = photo_of(noisy(clean, GAIN, 1e-9, floor=FLOOR))
        _, warnings = noise_model_of(photo, source="blind")
        assert any("shadows" in warning and "stay" in warning for warning in warnings)


def photo_of(mosaic: Mosaic, masked: np.ndarray | None = None, *, masked_left: bool = True) -> RawPhoto:
    """A photo of 12 bits, with masked columns at its left or right."""
    height, width = mosaic.data.shape
    levels = Levels(np.array([[float(BLACK_DN)]]), WHITE_DN, WHITE_DN, 12)
    beside = np.zeros((height, 0)) if masked is None else masked
    parts = [beside, levels.to_dn(mosaic.data)] if masked_left else [levels.to_dn(mosaic.data), beside]
    return replace(
        noisy_photo(8, 8),
        frame=np.clip(np.rint(np.hstack(parts)), 0, WHITE_DN).astype(np.uint16),
        active_area=Rect(0, beside.shape[1] if masked_left else 0, height, width),
        default_crop=Rect(0, 0, height, width),
        pattern=mosaic.pattern,
        levels=levels,
        noise_profile=(),
    )


def masked_columns(columns: int = MASKED, *, sd_dn: float = READ_SD_DN, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(BLACK_DN, sd_dn, (HEIGHT, columns))


@pytest.fixture(scope="module")
def busy() -> Mosaic:
    """A scene without a smooth or a dark place."""
    clean = 0.3 + 0.5 * leaves(768, texture=1)[:HEIGHT, :WIDTH]
    return noisy(clean, GAIN, READ, floor=FLOOR)


class TestMaskedPixels:
    # 120 x 11 groups of four pixels: the standard error of a variance of n values is sqrt(2 / n), 4 %.
    ERROR = 4 * np.sqrt(2 / (120 * 10))

    @pytest.mark.parametrize("left", [True, False])
    @pytest.mark.parametrize("columns", [48, 49])
    def test_they_tell_the_read_variance(self, busy: Mosaic, columns: int, left: bool) -> None:
        photo = photo_of(busy, masked_columns(columns), masked_left=left)
        found = masked_read_variance(photo)
        assert found is not None
        assert found == pytest.approx(np.full(4, READ + STEP**2 / 12), rel=self.ERROR)

    def test_rows_above_serve_too(self, busy: Mosaic) -> None:
        photo = photo_of(busy)
        above = np.random.default_rng(6).normal(BLACK_DN, READ_SD_DN, (40, WIDTH))
        frame = np.vstack([np.rint(above).astype(np.uint16), photo.frame])
        found = masked_read_variance(replace(photo, frame=frame, active_area=Rect(40, 0, HEIGHT, WIDTH)))
        assert found is not None
        assert found == pytest.approx(np.full(4, READ + STEP**2 / 12), rel=self.ERROR)

    @pytest.mark.parametrize("columns", [48, 47])
    def test_every_colour_has_its_own(self, busy: Mosaic, columns: int) -> None:
        """The pattern begins at the active area, whether the masked columns are even or odd in number."""
        masked = masked_columns(columns)
        rows, places = np.mgrid[:HEIGHT, :columns]
        red = (rows % 2 == 0) & ((places - columns) % 2 == 0)
        masked[red] = BLACK_DN + 2 * (masked[red] - BLACK_DN)
        found = masked_read_variance(photo_of(busy, masked))
        assert found is not None
        assert found / READ == pytest.approx([4, 1, 1, 1], rel=self.ERROR)

    def test_what_rows_and_columns_share_and_hot_pixels_do_not_count(self, busy: Mosaic) -> None:
        rng = np.random.default_rng(7)
        masked = masked_columns() + rng.normal(0, 10, (HEIGHT, 1)) + rng.normal(0, 10, (1, MASKED))
        masked[rng.random(masked.shape) < 0.002] = 3000
        found = masked_read_variance(photo_of(busy, masked))
        assert found is not None
        # Hot pixels take groups of four with them; what lies beyond 5 standard deviations is one in a million.
        assert found == pytest.approx(np.full(4, READ + STEP**2 / 12), rel=self.ERROR)

    @pytest.mark.parametrize("kind", ["none", "narrow", "constant", "cut off", "bright", "leak", "halves", "pattern"])
    def test_unusable_ones_are_passed_over(self, busy: Mosaic, kind: str) -> None:
        masked: np.ndarray | None = masked_columns()
        if kind == "none":
            masked = None
        elif kind == "narrow":
            masked = masked_columns(14)
        elif kind == "constant":
            masked = np.full((HEIGHT, MASKED), float(BLACK_DN))
        elif kind == "cut off":
            masked = masked_columns() - BLACK_DN
        elif kind == "bright":
            masked = masked_columns() + 40
        elif kind == "leak":
            masked = masked_columns() + 200 * np.exp(-np.arange(MASKED)[::-1] / 8)
        elif kind == "halves":
            masked = np.hstack([masked_columns(24), masked_columns(24, sd_dn=7)])
        elif kind == "pattern":
            masked = BLACK_DN + 40.0 * np.kron(np.ones((HEIGHT // 4, MASKED // 4)), np.pad(np.ones((2, 2)), (0, 2)))
        assert masked_read_variance(photo_of(busy, masked)) is None

    def test_the_quietest_strip_counts(self, busy: Mosaic) -> None:
        photo = photo_of(busy, masked_columns(sd_dn=8))
        frame = np.hstack([photo.frame, np.rint(masked_columns()).astype(np.uint16)])
        found = masked_read_variance(replace(photo, frame=frame))
        assert found is not None
        assert found == pytest.approx(np.full(4, READ + STEP**2 / 12), rel=self.ERROR)

    def test_the_noise_of_a_photo_follows_them(self, busy: Mosaic) -> None:
        """The fit alone sees no dark pixel; with the masked ones it is right within their spread of 15 %."""
        alone, _ = noise_model_of(photo_of(busy))
        noise, warnings = noise_model_of(photo_of(busy, masked_columns()))
        assert noise.read_variance == pytest.approx(np.full(4, READ), rel=0.3)
        assert alone.green_read_variance < READ / 2
        assert not any("shadows" in warning for warning in warnings)

    def test_the_iso_prior_follows_them(self, busy: Mosaic) -> None:
        photo = photo_of(busy, masked_columns())
        known = replace(photo, capture=replace(photo.capture, iso=100.0))
        noise, _ = noise_model_of(known, source="iso")
        assert noise.read_variance == pytest.approx(np.full(4, READ), rel=self.ERROR)
        without, _ = noise_model_of(replace(photo_of(busy), capture=known.capture), source="iso")
        assert without.green_read_variance > STEP**2 / 12


@pytest.mark.skipif(not FAULTS.is_dir(), reason="needs the files of ../shared/faults")
def test_a_camera_of_the_year_2000() -> None:
    """Canon EOS D30: its 48 masked columns show 4.2 to 4.9 DN, its few smooth dark blocks 4.7."""
    photo = read_raw(FAULTS / "canon-d30-read-noise.crw")
    noise, warnings = noise_model_of(photo)
    sd_dn = np.sqrt(noise.read_variance) * photo.levels.range_dn
    assert (sd_dn > 4.2).all()
    assert (sd_dn < 5.3).all()
    assert not any("soft" in warning for warning in warnings)
