"""Noise in figures of photographers: signal-to-noise ratios and the ISO of a full-frame camera."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.photo import Capture, Tag
from rawkd.sensor.iso_prior import iso_prior
from rawkd.sensor.noise import NoiseModel
from rawkd.sensor.noise_figures import (
    ISO_SETTINGS,
    MID_GREY,
    SHADOWS,
    decibels,
    equivalent_iso,
    signal_to_noise,
    usual_iso,
)

FULL_FRAME = (Tag(41989, 3, 1, (50).to_bytes(2, "little")),)


def model(gain: float, read: float) -> NoiseModel:
    return NoiseModel(np.array(gain), np.array(read), "given")


class TestSignalToNoise:
    def test_of_shot_noise_alone(self) -> None:
        """18 % of 100,000 electrons are 18,000, and their noise is the root of that."""
        assert signal_to_noise(model(1e-5, 0), MID_GREY) == pytest.approx(np.sqrt(18_000))

    def test_of_read_noise_alone(self) -> None:
        assert signal_to_noise(model(1e-12, 1e-6), SHADOWS) == pytest.approx(10, rel=1e-4)

    def test_as_drawn(self) -> None:
        """Against 10^6 drawn pixels; the standard error of their deviation is 0.07 %."""
        rng = np.random.default_rng(0)
        gain, read = 1e-3, 4e-6
        drawn = gain * rng.poisson(MID_GREY / gain, 10**6) + rng.normal(0, np.sqrt(read), 10**6)
        assert signal_to_noise(model(gain, read), MID_GREY) == pytest.approx(drawn.mean() / drawn.std(), rel=4e-3)

    @given(st.floats(1e-6, 0.2), st.floats(0, 1e-2))
    def test_shadows_have_less(self, gain: float, read: float) -> None:
        noise = model(gain, read)
        assert signal_to_noise(noise, SHADOWS) < signal_to_noise(noise, MID_GREY)

    @pytest.mark.parametrize("signal", [0.0, -0.1, float("nan")])
    def test_without_signal_there_is_none(self, signal: float) -> None:
        with pytest.raises(ValueError, match="signal"):
            signal_to_noise(model(1e-3, 1e-6), signal)

    @pytest.mark.parametrize(("ratio", "expected"), [(1, 0), (10, 20), (100, 40), (2, 6.0206)])
    def test_decibels(self, ratio: float, expected: float) -> None:
        assert decibels(ratio) == pytest.approx(expected, abs=1e-4)


class TestEquivalentISO:
    @pytest.mark.parametrize("iso", [iso for iso in ISO_SETTINGS if 100 <= iso <= 25600])
    def test_a_full_frame_camera_has_its_own(self, iso: int) -> None:
        """The prior line and back; its read noise adds up to a third of a stop at 25600."""
        prior = iso_prior(Capture(iso=float(iso), focal_length_mm=50.0, exif=FULL_FRAME))
        assert prior is not None
        assert equivalent_iso(model(prior.gain, 0)) == iso
        place = ISO_SETTINGS.index(equivalent_iso(prior.model())) - ISO_SETTINGS.index(iso)
        assert place in (0, 1)

    def test_a_phone_is_like_a_higher_iso(self) -> None:
        assert equivalent_iso(model(2e-4, 0)) == 1600

    def test_read_noise_counts(self) -> None:
        assert equivalent_iso(model(1.2e-5, 1.2e-5 * MID_GREY)) == 200

    @given(st.floats(1e-8, 1.0), st.floats(0, 1e-2))
    def test_more_noise_is_no_lower_iso(self, gain: float, read: float) -> None:
        assert equivalent_iso(model(gain, read)) <= equivalent_iso(model(1.1 * gain, 1.1 * read))

    @pytest.mark.parametrize(
        ("iso", "setting"), [(97, 100), (1280, 1250), (1, 50), (1e7, 204800), (0, 50), (5700, 6400)]
    )
    def test_usual_settings(self, iso: float, setting: int) -> None:
        assert usual_iso(iso) == setting

    def test_settings_are_thirds_of_a_stop(self) -> None:
        """Names are rounded: 1250 for 1280, 64 for 63."""
        steps = np.diff(np.log2(ISO_SETTINGS))
        np.testing.assert_allclose(steps, 1 / 3, atol=0.04)
