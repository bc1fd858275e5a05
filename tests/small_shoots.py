"""Folders of tiny DNGs with an ISO, as a batch finds them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_photos import GAIN, READ_VARIANCE, noisy_photo

from rawkd.files.write.dng import write_dng
from rawkd.photo import Capture, Tag
from rawkd.sensor.profile import CameraProfile, profile_record

ISO_TAG, SHORT = 34855, 3


def write_photo(
    path: Path,
    seed: int = 0,
    *,
    iso: int | None = 1600,
    gain: float = GAIN,
    software: str = "x",
    make: str = "Rawkd",
) -> Path:
    """A DNG of 48 x 64 pixels whose NoiseProfile is (gain, READ_VARIANCE); too small for its pixels to contradict."""
    photo = noisy_photo(48, 64, seed=seed)
    exif = () if iso is None else (Tag(ISO_TAG, SHORT, 1, iso.to_bytes(2, "little")),)
    capture = Capture(make=make, model="Rawkd One", unique_camera_model="Rawkd One", exif=exif)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = (gain, READ_VARIANCE)
    photo = replace(photo, capture=capture)
    write_dng(path, photo, preview=None, software=software, noise_profile=profile, overwrite=True)
    return path


def write_shoot(folder: Path, count: int, *, iso: int | None = 1600) -> list[Path]:
    """Photos 00.dng ... with NoiseProfiles that differ by up to a fifth."""
    return [
        write_photo(folder / f"{index:02}.dng", index, iso=iso, gain=GAIN * (1 + 0.2 * index / count))
        for index in range(count)
    ]


def write_calibration(path: Path, gain: float) -> Path:
    """The calibration file of the camera of `write_photo`, one gain at every ISO."""
    gains, reads = np.tile([0.0, gain], (4, 1)), np.tile([0.0, 0.0, READ_VARIANCE], (4, 1))
    profile = CameraProfile("Rawkd", "Rawkd One", (100.0, 6400.0), gains, reads)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(profile_record(profile)))
    return path


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but what batches write for themselves, by its relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".rawkd" not in path.parts
    }


def left_over(folder: Path) -> list[Path]:
    """Work files that should be gone."""
    return [*folder.rglob(".rawkd/work/*"), *folder.rglob("*.part")]


def read_report(path: Path) -> dict[str, Any]:
    """A JSON report."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
