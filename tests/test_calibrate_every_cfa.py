"""Calibration of X-Trans and monochrome cameras from synthetic frames of known noise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from synthetic_camera import HOT, Camera, black, dark_frame, save, true_gain, true_read_variance, wedge

from rawkd.calibration.calibrate import IsoNoise, noise_of_iso
from rawkd.calibration.calibration_file import Calibration
from rawkd.calibration.dark_frames import DarkFrames
from rawkd.calibration.frame_sample import of_classes, rows_of_classes, sample_frame
from rawkd.calibration.plot import calibration_chart
from rawkd.calibration.transfer import transfer_points
from rawkd.cli import main
from rawkd.photo import CFAPattern, RawPhoto
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare
from rawkd.sensor.profile import CameraProfile, profile_record, read_profile

FACTORS = {CFAPattern.XTRANS.shifted(1, 4): (1.12, 1.0, 0.92), CFAPattern.MONO: (1.0,)}
"""Gain of each class over that of the ISO."""
PATTERNS = pytest.mark.parametrize("pattern", FACTORS, ids=str)


def samples(photos: Sequence[RawPhoto]) -> list:
    return [sample_frame(photo, f"f{k}", 4096) for k, photo in enumerate(photos)]


def measure(camera: Camera, iso: float = 1600, count: int = 6) -> IsoNoise:
    bursts = [camera.burst(wedge(), iso, count), camera.burst(black(), iso, count, exposure_s=1e-3)]
    return noise_of_iso(iso, [transfer_points(samples(burst)) for burst in bursts])


def assert_explains(found: IsoNoise, factors: Sequence[float], read: float) -> None:
    """All within 4 standard errors, and those are small enough to mean something."""
    gain = true_gain(found.iso) * np.array(factors)
    assert (found.gain_error < 0.015 * gain).all()
    assert (found.read_error < 0.03 * read).all()
    assert (np.abs(found.gain - gain) < 4 * found.gain_error).all()
    assert (np.abs(found.read_variance - read) < 4 * found.read_error).all()


@PATTERNS
@pytest.mark.parametrize("iso", [100, 6400])
def test_every_class_is_recovered_within_its_errors(pattern: CFAPattern, iso: int) -> None:
    found = measure(Camera(seed=iso, pattern=pattern, gain_factors=FACTORS[pattern]), iso)
    assert_explains(found, FACTORS[pattern], true_read_variance(iso))
    # Each chi-square has about the number of blocks as degrees of freedom; the classes are averaged.
    num = len(found.level)
    assert abs(found.chi_square - 1) < 4 * np.sqrt(2 / num / len(pattern.classes))


@pytest.mark.parametrize("factors", [(0.92, 1.0, 1.12), (1.0, 1.0, 1.0)], ids=["exchanged", "all alike"])
def test_wrong_classes_are_not_within_the_errors(factors: tuple[float, ...]) -> None:
    """The twin: gains of R and B exchanged, or one gain for all."""
    pattern = CFAPattern.XTRANS.shifted(1, 4)
    found = measure(Camera(seed=1, pattern=pattern, gain_factors=FACTORS[pattern]))
    with pytest.raises(AssertionError):
        assert_explains(found, factors, true_read_variance(1600))


@PATTERNS
def test_row_noise_and_drift_are_explained(pattern: CFAPattern) -> None:
    """As for Bayer (`test_calibrate.py`)."""
    iso, row_sd = 1600, 1.5 * np.sqrt(true_read_variance(1600))
    camera = Camera(drift=0.02, row_sd=row_sd, seed=2, pattern=pattern, gain_factors=FACTORS[pattern])
    found = measure(camera, iso)
    assert_explains(found, FACTORS[pattern], true_read_variance(iso))
    assert found.row_variance == pytest.approx(row_sd**2, rel=4 * np.sqrt(3 / (2 * 240 * 5)))
    quiet = measure(Camera(seed=2, pattern=pattern), iso)
    assert abs(quiet.row_variance) < 0.02 * row_sd**2


def test_rows_that_a_class_is_spread_over() -> None:
    """The variance of a class mean over a cell of row noise: that of one row over these numbers."""
    np.testing.assert_array_equal(rows_of_classes(CFAPattern.RGGB), [1, 1, 1, 1])
    np.testing.assert_array_equal(rows_of_classes(CFAPattern.MONO), [2])
    offsets = np.random.default_rng(0).normal(size=(40000, 6, 1))
    cells = np.broadcast_to(offsets, (40000, 6, 6)).reshape(-1, 36)
    seen = of_classes(cells, CFAPattern.XTRANS).var(axis=0)
    # Of 40000 draws: the variance is known to 0.7 %.
    np.testing.assert_allclose(seen, 1 / rows_of_classes(CFAPattern.XTRANS), rtol=4 * np.sqrt(2 / 40000))


@PATTERNS
def test_hot_pixels_are_learned_from_dark_frames(pattern: CFAPattern) -> None:
    camera, dark = Camera(seed=1, pattern=pattern), DarkFrames()
    for ray in ((50, 60), (70, 80), None):
        dark.add(dark_frame(camera, ray=ray), (800, 1.0))
    (found,), warnings = dark.maps()
    assert {tuple(place) for place in found.pixels.tolist()} == {tuple(place) for place in HOT.tolist()}
    assert warnings == ()


@PATTERNS
def test_the_command_writes_a_file_that_denoise_reads(
    pattern: CFAPattern, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    camera = Camera(seed=6, pattern=pattern, gain_factors=FACTORS[pattern])
    shots = [*camera.burst(wedge(), 800, 4), *(dark_frame(camera) for _ in range(3))]
    paths = [str(save(tmp_path, f"{number}", shot)) for number, shot in enumerate(shots)]
    svg = tmp_path / "fit.svg"
    assert main(["calibrate", *paths, "--install", "--plot", str(svg)]) == 0
    printed = capsys.readouterr()
    assert "5 defective pixels" in printed.err
    written = Path(printed.out.split()[0])
    record = json.loads(written.read_text())
    assert tuple(record["planes"]) == pattern.classes
    assert len(record["measured"][0]["gain"]) == len(pattern.classes)
    assert ("greens" in svg.read_text()) is (pattern.kind == "xtrans")
    photo = camera.take(wedge(), 800)
    prepared = prepare(photo, DenoiseOptions())
    assert prepared.noise.source == "calibration"
    assert len(prepared.photo.defects) == len(HOT)
    gain = true_gain(800) * np.array(FACTORS[pattern])
    error = np.array(record["measured"][0]["gain_error"])
    assert (error < 0.03 * gain).all()
    assert (np.abs(prepared.noise.gain - gain) < 4 * error).all()
    named = prepare(photo, DenoiseOptions(calibration=written)).noise
    np.testing.assert_array_equal(named.gain, prepared.noise.gain)


def test_frames_of_two_sensors_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {"a": CFAPattern.XTRANS, "b": CFAPattern.GRBG}
    paths = [str(save(tmp_path, name, Camera(pattern=kind).take(wedge(), 800))) for name, kind in kinds.items()]
    assert main(["calibrate", *paths, "--out", str(tmp_path / "camera.json")]) == 3
    # no article: it would be "an" before X-Trans and RGGB, "a" before GRBG
    sentence = f"the mosaic of {paths[1]} is GRBG, that of {paths[0]} X-Trans. Calibrate one sensor at a time."
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "camera.json").exists()


@pytest.mark.parametrize("kind", ["bayer", "xtrans", "mono"])
def test_profiles_of_every_sensor_round_trip(tmp_path: Path, kind: str) -> None:
    classes = len(CFAPattern.of_kind(kind).classes)
    rng = np.random.default_rng(0)
    profile = CameraProfile("A", "B", (100.0, 3200.0), 1e-5 * rng.random((classes, 2)), 1e-8 * rng.random((classes, 3)))
    (tmp_path / "p.json").write_text(json.dumps(profile_record(profile)))
    again = read_profile(tmp_path / "p.json")
    np.testing.assert_array_equal(again.gain, profile.gain)
    np.testing.assert_array_equal(again.read_variance, profile.read_variance)
    assert len(again.noise_at(800).gain) == classes


def test_the_file_of_a_bayer_camera_has_kept_its_bytes() -> None:
    gain, read = np.arange(1, 9).reshape(4, 2) * 1e-7, np.arange(1, 13).reshape(4, 3) * 1e-9
    record = profile_record(CameraProfile("Canon", "Canon EOS 6D", (100.0, 3200.0), gain, read))
    assert json.dumps(record) == (
        '{"format": "rawkd-camera-noise", "version": 1, "make": "Canon", "model": "Canon EOS 6D", "iso_range": [100.0, '
        '3200.0], "planes": {"R": {"gain": [1e-07, 2e-07], "read_variance": [1e-09, 2e-09, 3.0000000000000004e-09]}, '
        '"Gr": {"gain": [3e-07, 4e-07], "read_variance": [4e-09, 5e-09, 6.000000000000001e-09]}, "Gb": {"gain": '
        '[5e-07, 6e-07], "read_variance": [7.000000000000001e-09, 8e-09, 9.000000000000001e-09]}, "B": {"gain": '
        '[7e-07, 8e-07], "read_variance": [1e-08, 1.1000000000000001e-08, 1.2000000000000002e-08]}}, "defects": []}'
    )


@PATTERNS
def test_the_chart_shows_every_class(pattern: CFAPattern) -> None:
    measured = measure(Camera(pattern=pattern), 1600, 3)
    classes = len(pattern.classes)
    gain, read = np.zeros((classes, 2)), np.zeros((classes, 3))
    gain[:, 0], read[:, 0] = measured.gain / 1600, measured.read_variance / 1600**2
    profile = CameraProfile("Rawkd", "Lab One", (1600.0, 1600.0), gain, read)
    svg = calibration_chart(Calibration(profile, (measured,), {}, 1.0, ())).svg()
    assert ">R<" in svg if classes == 3 else ">R<" not in svg
    assert ">ISO 1600<" in svg
