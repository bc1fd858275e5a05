"""`rawkd inspect`: groups with units, what the file says and what it means, warnings, and JSON that keeps its keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_photos import GAIN, READ_VARIANCE, noisy_photo
from synthetic_dng import ASCII, LONG, RATIONAL, SRATIONAL, flat_frame
from synthetic_dng import write_dng as write_with_tags
from tiny_models import blur, make_model

from rawkd.cli import main
from rawkd.cli.inspect.text import _noise, _ratio
from rawkd.files.read.camera_settings import CameraSettings
from rawkd.files.read.maker.lens import LENS_MODEL
from rawkd.files.tiff.ifd import ascii_text
from rawkd.files.write.dng import write_dng
from rawkd.photo import Capture, Rect, camera_name

OLD_KEYS = [
    "input", "camera", "iso", "exposure_s", "aperture", "datetime", "cfa", "frame", "active_area", "default_crop",
    "orientation", "pixel_aspect", "bits", "black_dn", "white_dn", "saturation_dn", "as_shot_neutral",
    "camera_from_xyz", "baseline_exposure", "noise_profile", "noise", "row_noise", "known_defects", "student",
    "warnings",
]  # fmt: skip
"""Keys that scripts read: more may come, none may go."""


@pytest.fixture
def family(tmp_path: Path) -> Path:
    make_model(tmp_path / "models" / "tiny", blur, subrange=[1e-6, 1e-1])
    return tmp_path / "models"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    raw = noisy_photo()
    write_dng(tmp_path / "photo.dng", raw, preview=None, software="test", noise_profile=raw.noise_profile)
    return tmp_path / "photo.dng"


def shown(photo: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, str]:
    """The lines of the text by their names."""
    assert main(["inspect", str(photo), "--model", str(family)]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("  ")]
    width = max(len(line[2:].partition("  ")[0]) for line in lines) + 4
    return {line[:width].strip(): line[width:] for line in lines}


def record_of(photo: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    assert main(["inspect", str(photo), "--model", str(family), "--json"]) == 0
    record: dict[str, object] = json.loads(capfd.readouterr().out)
    return record


def test_the_crop_of_the_user_is_shown(
    photo: Path, family: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert record_of(photo, family, capfd)["user_crop"] is None
    assert "rendered" not in shown(photo, family, capfd)
    cropped = tmp_path / "cropped.dng"
    write_dng(cropped, replace(noisy_photo(), user_crop=Rect(2, 4, 100, 296)), preview=None, software="test")
    assert record_of(cropped, family, capfd)["user_crop"] == [4, 2, 296, 100]
    assert shown(cropped, family, capfd)["rendered"] == "296 x 100 pixels at 4, 2 of the active area (user crop)"


@pytest.mark.parametrize(("stated", "expected"), [("AF-S 18-70mm", "AF-S 18-70mm"), ("", "18-70 mm f/3.5-4.5")])
def test_the_lens_is_the_one_that_a_dng_gets(
    stated: str,
    expected: str,
    tmp_path: Path,
    family: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What exifread decodes counts only where rawkd finds no name."""
    raw = noisy_photo()
    fields = (ascii_text(LENS_MODEL, stated),) if stated else ()
    path = tmp_path / "photo.dng"
    write_dng(path, replace(raw, capture=replace(raw.capture, exif=fields)), preview=None, software="test")
    monkeypatch.setattr("rawkd.cli.inspect.facts.read_settings", lambda _path: CameraSettings("18-70 mm f/3.5-4.5"))
    assert record_of(path, family, capfd)["lens"] == expected


def test_groups_and_units(photo: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(photo), "--model", str(family)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == str(photo)
    heads = [line for line in lines[1:] if not line.startswith(" ")]
    assert heads == ["Camera", "Exposure", "Sensor", "Colour", "Noise", "Model"]
    found = shown(photo, family, capfd)
    assert found["camera"] == "Rawkd One"
    assert (found["ISO"], found["exposure time"]) == ("1600", "1/100 s")
    assert not {"lens", "taken", "baseline exposure", "unknown"} & set(found)  # the file does not state them
    assert found["picture"] == "296 x 200 pixels at 4, 2 of the active area"
    assert found["active area"].startswith("301 x 203 pixels at ")
    assert (found["black"], found["white"], found["bits"]) == ("512 DN", "16000 DN", "14")
    assert found["would be used"] == "tiny"
    gain = float(found["gain"].split()[0])
    read_dn = float(found["read noise"].split()[0])
    assert gain == pytest.approx(GAIN, rel=0.3)
    # text and JSON round the same numbers
    noise = record_of(photo, family, capfd)["noise"]
    assert isinstance(noise, dict)
    assert gain == pytest.approx(noise["gain"][1], rel=5e-3)
    assert read_dn == pytest.approx(np.sqrt(noise["read_variance"][1]) * (16000 - 512), rel=5e-3)
    assert noise["read_variance"][1] == pytest.approx(READ_VARIANCE, rel=1)
    for name, signal, line in (("mid_grey", 0.18, "signal-to-noise"), ("shadows", 0.01, "in the shadows")):
        snr = signal / np.sqrt(noise["gain"][1] * signal + noise["read_variance"][1])
        assert noise[f"snr_{name}"] == pytest.approx(snr)
        shown_snr = found[line]
        assert float(shown_snr.split(" : 1")[0]) == pytest.approx(snr, rel=0.05)  # two digits
        assert f"({20 * np.log10(snr):.0f} dB)" in shown_snr
    # the variance at mid grey, as shot noise of a full frame (1.2e-5 at ISO 100), to the next third of a stop: 12 %
    iso = 100 * (noise["gain"][1] + noise["read_variance"][1] / 0.18) / 1.2e-5
    assert noise["full_frame_iso"] == pytest.approx(iso, rel=0.13)
    assert found["comparable to"] == f"ISO {noise['full_frame_iso']} of a full-frame camera"


def test_facts_that_a_file_does_not_state_have_no_line(
    tmp_path: Path, family: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A camera and an ISO that are unknown are said, because rawkd uses them; a frame without a border is one line."""
    path = write_with_tags(tmp_path / "a.dng", flat_frame(128, 128), tags={271: None, 272: None, 50708: None})
    found = shown(path, family, capfd)
    assert [name for name, value in found.items() if value == "unknown"] == ["camera", "ISO"]
    assert found["picture"] == "128 x 128 pixels"
    assert not {"active area", "frame", "aperture", "focal length", "taken"} & set(found)
    assert (found["clipping"], found["known defects"]) == ("at white", "none")


def test_the_defects_that_would_be_found_are_listed(
    tmp_path: Path, family: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = flat_frame(128, 128)
    frame[60, 71] = frame.max() + 3000
    path = write_with_tags(tmp_path / "a.dng", frame)
    assert shown(path, family, capfd)["found defects"] == "1 pixel; --json lists them"
    assert main(["inspect", str(path), "--model", str(family), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["found_defects"] == [[60, 71]]


def test_the_date_has_hyphens(tmp_path: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_with_tags(tmp_path / "a.dng", flat_frame(128, 128), tags={306: (ASCII, "2026:03:26 21:16:32")})
    assert shown(path, family, capfd)["taken"] == "2026-03-26 21:16:32"


def test_noise_in_words_and_as_an_option(photo: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The line that `--noise` takes, one number for planes that are alike, and the source in words."""
    found, noise = shown(photo, family, capfd), record_of(photo, family, capfd)["noise"]
    assert isinstance(noise, dict)
    gain, read = (float(text) for text in found["as an option"].removeprefix("--noise ").split(","))
    assert (gain, read) == pytest.approx((noise["gain"][1], noise["read_variance"][1]), rel=5e-3)
    record = {"noise": noise | {"source": "blind"}, "noise_profile": [], "row_noise": None}
    rows = dict(_noise(record | {"noise": record["noise"] | {"read_noise_dn": [0.793, 0.797, 0.797, 0.795]}}))
    assert rows["read noise"].startswith("0.797 DN, ")
    assert rows["source"] == "measured in the pixels of the photo (blind)"
    assert "NoiseProfile" not in rows
    rows = dict(_noise(record | {"noise": record["noise"] | {"read_noise_dn": [4.95, 4.89, 4.89, 4.0]}}))
    assert rows["read noise"].startswith("4.95 4.89 4.89 4 DN (R Gr Gb B)")


@pytest.mark.parametrize(
    ("snr", "shown"), [(0.98, "0.98 : 1 (0 dB)"), (1.02, "1 : 1 (0 dB)"), (0.5, "0.5 : 1 (-6 dB)")]
)
def test_a_ratio_near_one_is_0_db_without_a_sign(snr: float, shown: str) -> None:
    assert _ratio(snr) == shown


def test_json_keeps_its_keys(photo: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = record_of(photo, family, capfd)
    assert set(OLD_KEYS) <= set(record)
    assert {"gain", "read_variance", "source", "confidence"} <= set(record["noise"])  # type: ignore[call-overload]


def test_only_a_unique_camera_model(tmp_path: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tags = {271: None, 272: None, 50708: (ASCII, "Maker Model X")}
    path = write_with_tags(tmp_path / "a.dng", flat_frame(128, 128), tags=tags)
    assert shown(path, family, capfd)["camera"] == "Maker Model X"
    assert camera_name(Capture(unique_camera_model=" A  B ")) == "A B"
    assert camera_name(Capture(model="B", unique_camera_model="A B")) == "B"
    assert camera_name(Capture()) == ""


def test_the_effective_black_level(tmp_path: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """BlackLevel 0 with 256 in every BlackLevelDeltaV is a black level of 256."""
    deltas = {50714: (RATIONAL, (0.0,)), 50716: (SRATIONAL, (256.0,) * 128), 50717: (LONG, 4095)}
    path = write_with_tags(tmp_path / "a.dng", flat_frame(128, 128, dn=2000), tags=deltas)
    found = shown(path, family, capfd)
    assert found["black"] == "256 DN effective (0 DN and deltas of rows or columns)"
    assert record_of(path, family, capfd)["effective_black_dn"] == [[256.0, 256.0], [256.0, 256.0]]


def test_a_low_clipping_level(tmp_path: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The sensor clips below WhiteLevel: shown in DN and as a share of white."""
    frame = flat_frame(256, 256, dn=3000)
    frame[:96] = np.random.default_rng(1).normal(17000, 2000, (96, 256)).clip(3000, 15000)
    path = write_with_tags(tmp_path / "a.dng", frame)
    assert shown(path, family, capfd)["clipping"] == f"15000 DN ({15000 / 16383:.1%} of white)"


def test_settings_of_the_camera(
    photo: Path, family: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = CameraSettings("A 50\x1b[2J", "Normal", "On", real_iso=1000, shutter_count=12)
    monkeypatch.setattr("rawkd.cli.inspect.facts.read_settings", lambda _: settings)
    assert main(["inspect", str(photo), "--model", str(family)]) == 0
    printed = capfd.readouterr()
    assert "noise reduction was on (Normal)" in printed.err
    assert "long-exposure noise reduction was on (On)" in printed.err
    assert "\x1b" not in printed.out
    found = shown(photo, family, capfd)
    assert found["ISO"] == "1600 (the camera used 1000)"
    assert (found["NR in camera"], found["long-exposure NR"], found["shutter count"]) == ("Normal", "On", "12")
    record = record_of(photo, family, capfd)
    assert (record["real_iso"], record["shutter_count"], record["noise_reduction"]) == (1000, 12, "Normal")


def test_a_real_photo(data: Path, family: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = data / "raw" / "canon-g2-chart.crw"
    if not path.is_file():
        pytest.skip("needs the raw files of ../shared/data")
    found = shown(path, family, capfd)
    assert (found["camera"], found["ISO"], found["exposure time"]) == ("Canon PowerShot G2", "50", "1/50 s")
    assert found["focal length"] == "7 mm"
