"""The noise model, NoiseProfile, the ISO prior and calibration files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawkd.errors import NoiseError
from rawkd.photo import Capture, Tag
from rawkd.sensor.iso_prior import crop_factor, iso_prior
from rawkd.sensor.noise import (
    NOISE_LIMITS,
    NoiseModel,
    expected_read_variance,
    parse_noise_profile,
    read_variance_prior,
)
from rawkd.sensor.profile import PLANES, read_profile

GAINS = st.floats(2e-6, 0.1)
READS = st.floats(1e-12, 0.1)


def with_35mm(equivalent: int, focal: float | None, iso: float | None = 100.0) -> Capture:
    return Capture(iso=iso, focal_length_mm=focal, exif=(Tag(41989, 3, 1, equivalent.to_bytes(2, "little")),))


class TestNoiseModel:
    def test_one_number_serves_all_planes(self) -> None:
        model = NoiseModel(np.array(1e-3), np.array(1e-6), "given")
        np.testing.assert_array_equal(model.gain, [1e-3] * 4)
        np.testing.assert_array_equal(model.read_variance, [1e-6] * 4)

    def test_greens_become_equal(self) -> None:
        model = NoiseModel(np.array([1.0, 2.0, 4.0, 5.0]), np.array([0.0, 2.0, 4.0, 1.0]), "given")
        np.testing.assert_array_equal(model.gain, [1, 3, 3, 5])
        assert model.green_gain == model.green_read_variance == 3

    @pytest.mark.parametrize(("gain", "read"), [(0, 0), (-1, 0), (np.nan, 0), (1, -1e-9), (1, np.inf), (np.inf, 0)])
    def test_impossible_values_are_refused(self, gain: float, read: float) -> None:
        with pytest.raises(NoiseError):
            NoiseModel(np.array(gain), np.array(read), "given")

    def test_variance_is_the_line_and_constant_below_black(self) -> None:
        planes = np.array([-1.0, 0.0, 0.5, 1.0])[:, None, None]
        model = NoiseModel(np.array(1e-3), np.array(1e-6), "given")
        np.testing.assert_allclose(model.variance(planes)[:, 0, 0], [1e-6, 1e-6, 5.01e-4, 1.001e-3])


@pytest.mark.parametrize(("gain", "read"), [(1e-3, 9.5753e-7), (1e-2, 1.4493e-4), (1e-4, 6.3e-9)])
def test_prior_line(gain: float, read: float) -> None:
    assert read_variance_prior(gain) == pytest.approx(read, rel=5e-3 if gain == 1e-4 else 5e-5)


class TestNoiseProfile:
    @given(GAINS, READS)
    def test_two_numbers_are_all_planes(self, gain: float, read: float) -> None:
        model = parse_noise_profile((gain, read))
        np.testing.assert_array_equal(model.gain, [gain] * 4)
        np.testing.assert_array_equal(model.read_variance, [read] * 4)
        assert model.source == "profile"

    def test_six_numbers_are_r_g_b(self) -> None:
        model = parse_noise_profile((1e-3, 1e-6, 2e-3, 2e-6, 3e-3, 3e-6))
        np.testing.assert_allclose(model.gain, [1e-3, 2e-3, 2e-3, 3e-3])
        np.testing.assert_allclose(model.read_variance, [1e-6, 2e-6, 2e-6, 3e-6])

    def test_eight_numbers_are_r_gr_gb_b(self) -> None:
        model = parse_noise_profile((1e-3, 1e-6, 2e-3, 2e-6, 4e-3, 4e-6, 5e-3, 5e-6))
        np.testing.assert_allclose(model.gain, [1e-3, 3e-3, 3e-3, 5e-3])
        np.testing.assert_allclose(model.read_variance, [1e-6, 3e-6, 3e-6, 5e-6])

    @pytest.mark.parametrize(
        "values",
        [
            (),
            (1e-3,),
            (1e-3, 1e-6) * 2,
            (1e-3, 1e-6) * 5,
            (0.004, 0.0),
            (0.0, 1e-6),
            (-1e-3, 1e-6),
            (0.5, 1e-6),
            (1e-7, 1e-6),
            (1e-3, 0.5),
            (1e-3, -1e-6),
            (float("nan"), 1e-6),
            (1e-3, float("inf")),
            (1e-3, 1e-6, 1e-3, 1e-6, 0.9, 1e-6),
        ],
    )
    def test_other_counts_and_absurd_values_are_refused(self, values: tuple[float, ...]) -> None:
        with pytest.raises(NoiseError, match="NoiseProfile"):
            parse_noise_profile(values)


class TestIsoPrior:
    @pytest.mark.parametrize(
        ("equivalent", "focal", "expected"),
        [(50, 50.0, 1.2e-5), (75, 50.0, 2.2e-5), (50, 25.0, 3.0e-5), (27, 10.0, 6e-5), (26, 4.0, 2e-4)],
    )
    def test_sensor_classes(self, equivalent: int, focal: float, expected: float) -> None:
        prior = iso_prior(with_35mm(equivalent, focal))
        assert prior is not None
        assert prior.size_known
        assert prior.gain == pytest.approx(expected, rel=0.15)
        assert prior.floor < expected < prior.ceiling

    @given(st.floats(25, 1e6))
    def test_gain_grows_with_iso(self, iso: float) -> None:
        prior = iso_prior(Capture(iso=iso))
        base = iso_prior(Capture(iso=100.0))
        assert prior is not None
        assert base is not None
        assert prior.gain == pytest.approx(base.gain * iso / 100)
        assert prior.model().read_variance[0] == pytest.approx(expected_read_variance(prior.gain))
        assert not prior.size_known
        assert prior.floor == 0

    def test_known_size_is_worth_more(self) -> None:
        known, unknown = iso_prior(with_35mm(50, 50.0)), iso_prior(Capture(iso=100.0))
        assert known is not None
        assert unknown is not None
        assert unknown.model().confidence < known.model().confidence == 0.5

    @pytest.mark.parametrize("iso", [None, 0.0, -100.0, float("nan"), float("inf")])
    def test_unknown_iso_is_not_guessed(self, iso: float | None) -> None:
        assert iso_prior(Capture(iso=iso)) is None

    @pytest.mark.parametrize(
        "capture",
        [
            Capture(focal_length_mm=50.0),
            with_35mm(50, None),
            with_35mm(0, 50.0),
            with_35mm(1000, 5.0),
            Capture(focal_length_mm=50.0, exif=(Tag(41989, 2, 3, b"50\0"),)),
        ],
    )
    def test_unknown_sensor_size_is_not_guessed(self, capture: Capture) -> None:
        assert crop_factor(capture) is None


class TestCalibrationFile:
    CONTENT = {  # noqa: RUF012
        "format": "rawkd-camera-noise",
        "version": 1,
        "make": "Canon",
        "model": "Canon EOS 6D",
        "iso_range": [100, 25600],
        "planes": {plane: {"gain": [1e-7, 2e-6], "read_variance": [1e-13, 2e-11, 3e-9]} for plane in PLANES},
    }

    def written(self, folder: Path, **changed: object) -> Path:
        path = folder / "camera.json"
        path.write_text(json.dumps({**self.CONTENT, **changed}))
        return path

    def test_gain_is_linear_and_variance_quadratic_in_iso(self, tmp_path: Path) -> None:
        noise = read_profile(self.written(tmp_path)).noise_at(1600)
        np.testing.assert_allclose(noise.gain, 1.6e-4 + 2e-6)
        np.testing.assert_allclose(noise.read_variance, 1e-13 * 1600**2 + 2e-11 * 1600 + 3e-9)
        assert noise.source == "calibration"

    def test_names_and_range(self, tmp_path: Path) -> None:
        profile = read_profile(self.written(tmp_path))
        assert profile.is_of("CANON ", "canon eos 6d")
        assert not profile.is_of("Canon", "Canon EOS 5D")
        assert profile.covers(100)
        assert not profile.covers(50)

    def test_variance_is_never_negative_and_gain_must_be_positive(self, tmp_path: Path) -> None:
        planes = {plane: {"gain": [1e-7, -9e-6], "read_variance": [0, 1e-12, -1e-10]} for plane in PLANES}
        profile = read_profile(self.written(tmp_path, planes=planes))  # the read variance is 0 at ISO 100
        assert (profile.noise_at(95).read_variance == 0).all()
        assert (profile.noise_at(200).read_variance > 0).all()
        with pytest.raises(NoiseError):
            profile.noise_at(50)

    @pytest.mark.parametrize(
        "changed",
        [
            {"format": "something"},
            {"version": 2},
            {"iso_range": [100]},
            {"iso_range": "high"},
            {"planes": {}},
            {"planes": {plane: {"gain": [1], "read_variance": [1, 2, 3]} for plane in PLANES}},
            {"planes": {plane: {"gain": [1, None], "read_variance": [1, 2, 3]} for plane in PLANES}},
            {"planes": {plane: {"gain": [1, float("nan")], "read_variance": [1, 2, 3]} for plane in PLANES}},
        ],
    )
    def test_other_content_is_refused_by_name(self, tmp_path: Path, changed: dict[str, object]) -> None:
        with pytest.raises(NoiseError, match=r"camera\.json"):
            read_profile(self.written(tmp_path, **changed))

    @pytest.mark.parametrize(
        ("plane", "told"),
        [
            ({"gain": [1e9, 0]}, "impossible noise at ISO 100 "),
            ({"gain": [1e308, 0]}, "impossible noise at ISO 100 "),
            ({"gain": [1e-4, 0]}, "impossible noise at ISO 25600 "),
            ({"gain": [-1e-7, 1e-4]}, "impossible noise at ISO 25600 "),
            ({"read_variance": [0, 0, -1e-9]}, "impossible noise at ISO 100 "),
            ({"read_variance": [0, 0, 1]}, "impossible noise at ISO 100 "),
            ({"gain": [True, False]}, "gain of B, which must be 2 numbers"),
            ({"gain": ["1e-7", 0]}, "gain of B, which must be 2 numbers"),
            ({"gain": [1e-7]}, "gain of B, which must be 2 numbers"),
            ({"gain": [10**400, 0]}, "gain of B, which has an impossible number"),
        ],
    )
    def test_absurd_values_are_refused_with_a_sentence(
        self, tmp_path: Path, plane: dict[str, list[float]], told: str
    ) -> None:
        sound = self.CONTENT["planes"][PLANES[0]]
        path = self.written(tmp_path, planes=dict.fromkeys(PLANES[:-1], sound) | {PLANES[-1]: sound | plane})
        with pytest.raises(NoiseError) as caught:
            read_profile(path)
        text = str(caught.value)
        assert told in text
        assert re.fullmatch(re.escape(str(path)) + r": the [^.]+\. Calibrate the camera again\.", text)

    @pytest.mark.parametrize("isos", [[25600, 100], [0, 100], [True, 100], [100, 10**400], [100, 200, 300]])
    def test_an_absurd_range_is_refused(self, tmp_path: Path, isos: list[int]) -> None:
        with pytest.raises(NoiseError, match=r"missing or invalid: iso_range, which "):
            read_profile(self.written(tmp_path, iso_range=isos))

    def test_the_limits_hold_outside_the_range(self, tmp_path: Path) -> None:
        profile = read_profile(self.written(tmp_path))
        with pytest.raises(NoiseError, match=re.escape(NOISE_LIMITS)):
            profile.noise_at(1e7)  # a gain of 1

    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
    def test_a_damaged_file_is_refused_by_name(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "camera.json"
        path.write_bytes(content)
        with pytest.raises(NoiseError, match=r"camera\.json"):
            read_profile(path)

    def test_a_missing_file_is_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(NoiseError, match=r"nowhere\.json"):
            read_profile(tmp_path / "nowhere.json")
