"""Which source of noise parameters wins, and what is said about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from noisy_scenes import leaves, noisy

from rawkd.errors import NoiseError, UsageError
from rawkd.files.read.raw import read_raw
from rawkd.photo import Capture, CFAPattern, ColorCalibration, Levels, Mosaic, RawPhoto, Rect, Tag
from rawkd.sensor.choose_noise import noise_model_of
from rawkd.sensor.profile import PLANES

GAIN, READ = 2e-3, 4e-6
LEVELS = Levels(np.array([[512.0]]), 16383, 16383, 14)
COLOR = ColorCalibration(np.eye(3), np.ones(3))
FULL_FRAME = (Tag(41989, 3, 1, (50).to_bytes(2, "little")),)


def photo_of(mosaic: Mosaic, capture: Capture | None = None, profile: tuple[float, ...] = ()) -> RawPhoto:
    area = Rect(0, 0, *mosaic.data.shape)
    return RawPhoto(
        frame=LEVELS.to_dn(mosaic.data),
        active_area=area,
        default_crop=area,
        pattern=mosaic.pattern,
        levels=LEVELS,
        color=COLOR,
        capture=capture or Capture(),
        noise_profile=profile,
    )


@pytest.fixture(scope="module")
def photo() -> RawPhoto:
    """A photo with enough smooth area to be sure of its noise."""
    return photo_of(noisy(leaves(768), GAIN, READ, pattern=CFAPattern.RGGB))


@pytest.fixture(scope="module")
def tiny() -> RawPhoto:
    """A photo too small for an estimate."""
    return photo_of(noisy(np.full((32, 32), 0.3), GAIN, READ))


@pytest.fixture(scope="module")
def busy() -> RawPhoto:
    """A photo of texture alone, whose pixels overstate the noise."""
    grain = np.repeat(np.repeat(np.random.default_rng(0).standard_normal((256, 256)), 2, 0), 2, 1)
    return photo_of(noisy(np.clip(0.2 * (1 + 0.2 * grain), 0, 1), 1e-4, 1e-8))


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "camera.json"
    planes = {plane: {"gain": [1e-6, 0], "read_variance": [0, 0, 1e-6]} for plane in PLANES}
    head = {"format": "rawkd-camera-noise", "version": 1, "make": "Canon", "model": "EOS", "iso_range": [100, 3200]}
    path.write_text(json.dumps({**head, "planes": planes}))
    return path


class TestOrder:
    def test_given_values_settle_the_matter(self, photo: RawPhoto, calibration: Path) -> None:
        tagged = replace(photo, noise_profile=(1e-3, 1e-6))
        noise, warnings = noise_model_of(tagged, given=(5e-3, 1e-5), source="iso", calibration=calibration)
        assert (noise.green_gain, noise.green_read_variance, noise.source) == (5e-3, 1e-5, "given")
        assert warnings == ()

    def test_impossible_given_values_are_refused(self, photo: RawPhoto) -> None:
        with pytest.raises(NoiseError):
            noise_model_of(photo, given=(0.0, 1e-6))

    def test_calibration_comes_before_profile_and_pixels(self, photo: RawPhoto, calibration: Path) -> None:
        capture = Capture(make="Canon", model="EOS", iso=800.0)
        tagged = replace(photo, noise_profile=(GAIN, READ), capture=capture)
        noise, warnings = noise_model_of(tagged, calibration=calibration)
        assert (noise.green_gain, noise.source) == (pytest.approx(8e-4), "calibration")
        assert warnings == ()

    def test_profile_comes_before_pixels(self, photo: RawPhoto) -> None:
        noise, warnings = noise_model_of(replace(photo, noise_profile=(1.1 * GAIN, READ)))
        assert (noise.green_gain, noise.source) == (1.1 * GAIN, "profile")
        assert warnings == ()

    def test_pixels_come_before_iso(self, photo: RawPhoto) -> None:
        noise, warnings = noise_model_of(replace(photo, capture=Capture(iso=800.0)))
        assert noise.source == "blind"
        assert noise.green_gain == pytest.approx(GAIN, rel=0.05)
        assert noise.confidence > 0.8
        assert warnings == ()

    def test_iso_comes_last(self, tiny: RawPhoto) -> None:
        noise, warnings = noise_model_of(replace(tiny, capture=Capture(iso=1600.0)))
        assert noise.source == "iso"
        assert noise.confidence <= 0.5
        more = "3.2e-3,2.4e-6"
        assert warnings == (
            f"rawkd guessed the noise from the ISO, without measuring it. If grain is left, try --noise {more} (four"
            " times the guess); if the photo looks too soft, lower --strength.",
        )
        assert 4 * noise.green_gain == pytest.approx(3.2e-3)
        assert 4 * noise.green_read_variance == pytest.approx(2.4e-6, abs=5e-8)

    def test_nothing_known_is_an_error_that_says_what_to_do(self, tiny: RawPhoto) -> None:
        with pytest.raises(NoiseError, match="--noise"):
            noise_model_of(tiny)

    @pytest.mark.parametrize("source", ["auto", "blind"])
    def test_a_known_iso_of_zero_is_unknown(self, tiny: RawPhoto, source: str) -> None:
        with pytest.raises(NoiseError):
            noise_model_of(replace(tiny, capture=Capture(iso=0.0)), source=source)


class TestOneSource:
    def test_profile_as_it_stands(self, photo: RawPhoto) -> None:
        noise, _ = noise_model_of(replace(photo, noise_profile=(10 * GAIN, READ)), source="profile")
        assert noise.green_gain == 10 * GAIN

    def test_blind_although_there_is_a_profile(self, photo: RawPhoto) -> None:
        noise, _ = noise_model_of(replace(photo, noise_profile=(1.1 * GAIN, READ)), source="blind")
        assert noise.source == "blind"

    def test_iso(self, photo: RawPhoto) -> None:
        noise, _ = noise_model_of(replace(photo, capture=Capture(iso=100.0)), source="iso")
        assert noise.source == "iso"

    @pytest.mark.parametrize("source", ["profile", "iso"])
    def test_what_is_missing_is_named(self, photo: RawPhoto, source: str) -> None:
        with pytest.raises(NoiseError, match=r"ISO|NoiseProfile"):
            noise_model_of(photo, source=source)

    def test_calibration_without_file(self, photo: RawPhoto) -> None:
        with pytest.raises(UsageError, match="--calibration"):
            noise_model_of(photo, source="calibration")

    def test_unknown_source(self, photo: RawPhoto) -> None:
        with pytest.raises(UsageError, match="guess"):
            noise_model_of(photo, source="guess")


class TestCalibration:
    def test_without_iso_it_cannot_be_used(self, photo: RawPhoto, calibration: Path) -> None:
        with pytest.raises(NoiseError, match="ISO"):
            noise_model_of(photo, calibration=calibration)

    def test_rounding_is_the_least_read_variance(self, photo: RawPhoto, tmp_path: Path, calibration: Path) -> None:
        """A fit may give zero; then every rounded sample of a black frame would look like a defect."""
        text = calibration.read_text().replace("[0, 0, 1e-06]", "[0, 0, 0]")
        (tmp_path / "zero.json").write_text(text)
        capture = Capture(make="Canon", model="EOS", iso=800.0)
        noise, _ = noise_model_of(replace(photo, capture=capture), calibration=tmp_path / "zero.json")
        assert noise.read_variance.tolist() == [1 / LEVELS.range_dn**2 / 12] * 4

    def test_another_camera_and_another_iso_are_told(self, photo: RawPhoto, calibration: Path) -> None:
        capture = Capture(make="Nikon", model="D3", iso=6400.0)
        _, warnings = noise_model_of(replace(photo, capture=capture), calibration=calibration)
        assert len(warnings) == 2
        assert "Nikon" in warnings[0]
        assert "6400" in warnings[1]

    @pytest.mark.parametrize(
        ("make", "model", "name"),
        [("Canon", "Canon PowerShot S40", "Canon PowerShot S40"), ("", "", "an unknown camera")],
    )
    def test_a_camera_is_named_as_elsewhere(
        self, photo: RawPhoto, calibration: Path, make: str, model: str, name: str
    ) -> None:
        calibration.write_text(calibration.read_text().replace('"EOS"', '"Canon EOS"'))
        capture = Capture(make=make, model=model, iso=800.0)
        (warning,) = noise_model_of(replace(photo, capture=capture), calibration=calibration)[1]
        assert warning == f"the calibration file is for Canon EOS, but the photo is from {name}"


class TestProfileAgainstPixels:
    @pytest.mark.parametrize("factor", [1.6, 4.0, 10.0])
    def test_an_overstating_profile_is_lowered(self, photo: RawPhoto, factor: float) -> None:
        noise, warnings = noise_model_of(replace(photo, noise_profile=(factor * GAIN, factor * READ)))
        assert noise.source == "profile, lowered by the pixels"
        assert noise.green_gain == pytest.approx(GAIN, rel=0.05)
        assert bool(warnings) is (factor > 2)

    @pytest.mark.parametrize("factor", [0.5, 0.2])
    def test_a_sure_estimate_raises_a_profile(self, photo: RawPhoto, factor: float) -> None:
        noise, _ = noise_model_of(replace(photo, noise_profile=(factor * GAIN, factor * READ)))
        assert noise.source == "profile, raised by the pixels"
        assert noise.green_gain == pytest.approx(GAIN, rel=0.05)

    def test_texture_does_not_raise_a_profile(self, busy: RawPhoto) -> None:
        noise, warnings = noise_model_of(replace(busy, noise_profile=(1e-4, 1e-8)))
        assert noise.source == "profile"
        assert noise.green_gain == 1e-4
        assert "times less noise variance" in warnings[0]

    def test_the_same_texture_without_profile_would_mislead(self, busy: RawPhoto) -> None:
        """The twin of the test above: there was something to resist."""
        noise, warnings = noise_model_of(busy)
        assert noise.green_gain > 3e-4
        assert noise.confidence < 0.3
        assert "--noise" in warnings[0]

    def test_a_tiny_photo_keeps_its_profile(self, tiny: RawPhoto) -> None:
        noise, warnings = noise_model_of(replace(tiny, noise_profile=(10 * GAIN, READ)))
        assert noise.green_gain == 10 * GAIN
        assert "not be checked" in warnings[0]

    @pytest.mark.parametrize("profile", [(0.004, 0.0), (0.9, 1e-6), (1e-3, 1e-6, 1e-3)])
    def test_an_absurd_profile_is_passed_over(self, photo: RawPhoto, profile: tuple[float, ...]) -> None:
        noise, warnings = noise_model_of(replace(photo, noise_profile=profile))
        assert noise.source == "blind"
        assert "NoiseProfile" in warnings[0]

    def test_a_profile_far_from_what_such_cameras_have_is_passed_over(self, photo: RawPhoto) -> None:
        capture = Capture(iso=100.0, focal_length_mm=50.0, exif=FULL_FRAME)
        noise, warnings = noise_model_of(replace(photo, capture=capture, noise_profile=(GAIN, READ)))
        assert noise.source == "blind, capped by ISO"
        assert "such cameras" in warnings[0]


def of_two_gains(blue: float, share: float = 1.0) -> RawPhoto:
    """A photo of gain `share` times 1e-3, in blue `blue` times that."""
    clean = leaves(1024)
    data = noisy(clean, 1e-3 * share, 1e-6 * share).data.copy()
    data[1::2, 1::2] = noisy(clean, 1e-3 * share * blue, 1e-6 * share * blue).data[1::2, 1::2]
    return photo_of(Mosaic(data, CFAPattern.RGGB))


class TestProfileAgainstColours:
    """A profile may be right for all colours but one."""

    @pytest.mark.parametrize("share", [1.0, 2.5])
    def test_a_colour_with_more_noise_raises_it(self, share: float) -> None:
        noise, warnings = noise_model_of(replace(of_two_gains(3.0, share), noise_profile=(1e-3, 1e-6)))
        assert noise.source == "profile, raised by the pixels"
        assert noise.gain == pytest.approx([1e-3 * share] * 3 + [3e-3 * share], rel=0.15)
        assert "less noise variance in blue" in warnings[0]

    def test_a_colour_with_less_noise_lowers_it(self) -> None:
        noise, warnings = noise_model_of(replace(of_two_gains(0.3), noise_profile=(1e-3, 1e-6)))
        assert noise.source == "profile, lowered by the pixels"
        assert noise.gain == pytest.approx([1e-3] * 3 + [3e-4], rel=0.15)
        assert "more noise variance in blue" in warnings[0]

    def test_the_iso_caps_all_colours_alike(self) -> None:
        capture = Capture(iso=100.0, focal_length_mm=50.0, exif=FULL_FRAME)
        noise, _ = noise_model_of(replace(of_two_gains(0.3), capture=capture))
        assert (noise.source, noise.confidence) == ("blind, capped by ISO", 0.5)
        assert noise.green_gain == pytest.approx(6e-5, rel=0.01)
        assert noise.gain[3] / noise.green_gain == pytest.approx(0.3, rel=0.15)


@pytest.fixture(scope="module")
def silent() -> RawPhoto:
    return of_two_gains(0.02)


class TestNoEvidence:
    """Blue without noise, as after a codec: the line of the estimate lies far below the noise of the others."""

    def test_without_another_source_it_is_an_error(self, silent: RawPhoto) -> None:
        with pytest.raises(NoiseError, match="do not show how strong"):
            noise_model_of(silent)
        with pytest.raises(NoiseError, match="do not show how strong"):
            noise_model_of(silent, source="blind")

    def test_the_profile_is_used_unchecked(self, silent: RawPhoto) -> None:
        noise, warnings = noise_model_of(replace(silent, noise_profile=(1e-3, 1e-6)))
        assert (noise.source, noise.green_gain) == ("profile", 1e-3)
        assert "not be checked" in warnings[0]


class TestPixelsAgainstIso:
    def test_pixels_are_capped_where_the_sensor_is_known(self, busy: RawPhoto) -> None:
        capture = Capture(iso=100.0, focal_length_mm=50.0, exif=FULL_FRAME)
        noise, warnings = noise_model_of(replace(busy, capture=capture))
        assert noise.green_gain <= 6e-5 * 1.001
        assert noise.confidence <= 0.5
        assert warnings

    def test_a_small_sensor_of_unknown_size_is_not_capped(self, photo: RawPhoto) -> None:
        noise, _ = noise_model_of(replace(photo, capture=Capture(iso=400.0)))
        assert noise.source == "blind"

    @pytest.mark.parametrize("iso", [1.0, 64.0])
    def test_a_sure_estimate_stands_against_an_iso_on_a_scale_of_its_own(self, photo: RawPhoto, iso: float) -> None:
        noise, warnings = noise_model_of(replace(photo, capture=Capture(iso=iso)))
        assert noise.source == "blind"
        assert noise.green_gain == pytest.approx(GAIN, rel=0.05)
        assert len(warnings) == 1
        assert f"at ISO {iso:g}. rawkd uses the measurement" in warnings[0]

    def test_texture_does_not(self, busy: RawPhoto) -> None:
        """The twin: an unsure estimate is capped, and the warning names the ISO and what to do."""
        noise, warnings = noise_model_of(replace(busy, capture=Capture(iso=10.0)))
        assert noise.source == "blind, capped by ISO"
        assert "at ISO 10, so rawkd lowered the estimate" in warnings[0]
        assert "on a scale of its own, give the noise" in warnings[0]


class TestWrongBlack:
    """The twin of each warning is the same photo without the fault: it has no warning (`TestOrder`)."""

    @pytest.mark.parametrize("source", ["pixels", "profile"])
    def test_a_black_level_that_is_too_low_is_told(self, photo: RawPhoto, source: str) -> None:
        levels = Levels(np.array([[0.0]]), 16383, 16383, 14)
        wrong = replace(photo, levels=levels, noise_profile=(GAIN, READ) if source == "profile" else ())
        noise, warnings = noise_model_of(wrong)
        assert noise.source.startswith("profile" if source == "profile" else "blind")
        told = [warning for warning in warnings if "black level may be wrong" in warning]
        places = [float(warning.partition("vanish at ")[2].partition("%")[0]) for warning in told]
        assert places == pytest.approx([100 * 512 / 16383], rel=0.2)
        assert not any("overestimated" in warning for warning in warnings)

    def test_noise_cut_off_at_black_is_told(self) -> None:
        clean = 0.03 * leaves(768)
        cut, whole = (photo_of(noisy(clean, GAIN, 1e-4, floor=floor)) for floor in (0.0, None))
        cut = replace(cut, frame=(cut.frame - 512).astype(np.uint16), levels=Levels(np.zeros((1, 1)), 15871, 15871, 14))
        noise, warnings = noise_model_of(cut)
        assert noise.confidence <= 0.75
        assert len(warnings) == 1
        assert f"{(cut.frame == 0).mean():.0%} of the pixels are 0" in warnings[0]
        assert noise_model_of(whole)[1] == ()


class TestRealFile:
    def test_the_overstating_profile_of_a_lossy_file_is_lowered(self, data: Path) -> None:
        """Flat patches of the chart have 3.3e-4 to 3.7e-4 in red and green, but 1.5e-4 to 2.2e-4 in blue."""
        photo = read_raw(data / "raw" / "gopro-hero7-chart-noiseprofile.dng")
        noise, warnings = noise_model_of(photo)
        assert photo.noise_profile[0] == pytest.approx(4.17e-4, rel=1e-3)
        assert noise.source == "profile, lowered by the pixels"
        assert noise.gain[:3] == pytest.approx(3.5e-4, rel=0.1)
        assert 1e-4 < noise.gain[3] < 2.2e-4
        assert any("lossy compression" in warning for warning in warnings)
