"""`denoise`, `batch` and `compare` restore the same samples: one way from a photo to its restoration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_photos import noisy_photo
from tiny_models import blur, make_model

from rawkd.cli import main
from rawkd.files.read.raw import read_raw
from rawkd.files.write.dng import write_dng
from rawkd.photo import Levels, RawPhoto, Rect
from rawkd.restore import pipeline
from rawkd.restore.pipeline import Restoration
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.profile import CameraProfile, profile_record

HEIGHT, WIDTH, MASKED = 200, 320, 48
BLACK_DN, WHITE_DN, READ_SD_DN, ROW_SD_DN = 512, 16000, 8.0, 12.0
ISO = 1600
HOT = np.array([[50, MASKED + 60], [51, MASKED + 201], [120, MASKED + 100]])
"""Rows and columns in the frame, which the calibration file lists."""


def photo_with_everything() -> RawPhoto:
    """Row noise that masked pixels show, three hot pixels, and nothing in the file that says so."""
    rng = np.random.default_rng(3)
    rows = rng.normal(0, ROW_SD_DN, (HEIGHT, 1))
    frame = rng.normal(BLACK_DN, READ_SD_DN, (HEIGHT, MASKED + WIDTH)) + rows
    frame[:, MASKED:] += 300 + 100 * np.sin(np.arange(WIDTH) / 60)
    frame[tuple(HOT.T)] += 6000
    return replace(
        noisy_photo(8, 8, iso=ISO),
        frame=np.rint(np.clip(frame, 0, WHITE_DN)).astype(np.uint16),
        active_area=Rect(0, MASKED, HEIGHT, WIDTH),
        default_crop=Rect(0, 0, HEIGHT, WIDTH),
        levels=Levels(np.array([[float(BLACK_DN)]]), WHITE_DN, WHITE_DN, 14),
        noise_profile=(),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo, the calibration file of its camera, and a model."""
    folder = tmp_path_factory.mktemp("same")
    photo = photo_with_everything()
    write_dng(folder / "photo.dng", photo, preview=None, software="test")
    read_variance = np.tile([0, 0, (READ_SD_DN / (WHITE_DN - BLACK_DN)) ** 2], (4, 1))
    gain, defects = np.tile([1e-4 / ISO, 0], (4, 1)), DefectMap(HEIGHT, MASKED + WIDTH, HOT)
    profile = CameraProfile("Rawkd", "Rawkd One", (100, 6400), gain, read_variance, (defects,))
    (folder / "camera.json").write_text(json.dumps(profile_record(profile)))
    make_model(folder / "models" / "tiny", blur, subrange=[1e-6, 1e-1])
    return folder


def restored(folder: Path, command: str, out: Path, *words: str) -> np.ndarray:
    """The integers that a command makes of the photo's active area, with a model and further options."""
    models = "--models" if command == "compare" else "--model"
    names = {"denoise": "photo.dng", "batch": "", "compare": "page.html"}
    name = str(out / names[command])
    shared = [models, str(folder / "models"), "--device", "cpu", "--threads", "1", "-q", "-o", name, *words]
    assert main([command, str(folder / "photo.dng"), *shared]) == 0
    if command == "compare":
        (restoration,) = SEEN
        SEEN.clear()
        photo = restoration.photo
    else:
        (written,) = out.glob("*.dng")
        photo = read_raw(written)
    return photo.frame[photo.active_area.slices]


SEEN: list[Restoration] = []
"""What `compare` restored, which it shows as pictures only."""


@pytest.fixture(autouse=True)
def _seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def recorded(*given: Any) -> Restoration:
        found = pipeline.restore(*given)
        SEEN.append(found)
        return found

    SEEN.clear()
    monkeypatch.setattr("rawkd.compare.compare.restore", recorded)


def test_three_commands_restore_the_same_samples(folder: Path, tmp_path: Path) -> None:
    everything = ["--rows", "--calibration", str(folder / "camera.json")]
    found = {}
    for command in ("denoise", "batch", "compare"):
        out = tmp_path / command
        out.mkdir()
        found[command] = restored(folder, command, out, *everything)
    np.testing.assert_array_equal(found["batch"], found["denoise"])
    np.testing.assert_array_equal(found["compare"], found["denoise"])


@pytest.mark.parametrize("command", ["denoise", "compare", "batch"])
def test_each_of_the_options_counts(folder: Path, tmp_path: Path, command: str) -> None:
    """The twin: without row noise, or without the map of defects, the samples are others."""
    made = []
    noise = f"1e-4,{(READ_SD_DN / (WHITE_DN - BLACK_DN)) ** 2!r}"
    calibration = ["--calibration", str(folder / "camera.json")]
    for words in (["--rows", *calibration], calibration, ["--rows", "--noise", noise]):
        out = tmp_path / str(len(made))
        out.mkdir()
        made.append(restored(folder, command, out, "--defects", "map", *words))  # a search would find them too
    everything, with_row_noise, with_hot_pixels = made
    inner = slice(4, -4)  # the blur of the model darkens the edges
    rows = [np.std(picture[inner].mean(axis=1)) for picture in (everything, with_row_noise)]
    assert rows[0] < 0.5 * rows[1]
    hot = tuple((HOT - (0, MASKED)).T)
    moved = with_hot_pixels[hot].astype(float) - everything[hot]
    assert (moved > 500).all()  # a blur of 3 x 3 leaves a ninth of 6000 DN
