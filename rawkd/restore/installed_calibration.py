"""Calibration files that the user has installed, found by the camera they are of."""

from __future__ import annotations

import sys
from pathlib import Path

from rawkd.errors import NoiseError, OutputError
from rawkd.photo import Capture
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.profile import CameraProfile, read_profile
from rawkd.user_folders import config_folder


def profile_folder() -> Path:
    """Where installed calibration files lie: `cameras` in the user's `config_folder`.

    Raises
    ------
    OutputError: if the user has no home folder, as services and containers may not.
    """
    folder = config_folder()
    if folder is None:
        raise OutputError(
            "the folder of installed calibration files is not known, since the user has no home folder: set HOME, or"
            " name a calibration file (calibrate --out FILE.json, denoise --calibration FILE.json)"
        )
    return folder / "cameras"


def installed_files(folder: Path | None = None) -> list[Path]:
    """The calibration files in a folder by name, None for `profile_folder`; without a home folder there are none.

    On macOS, where `profile_folder` follows XDG_CONFIG_HOME, ~/Library/Application Support/rawkd/cameras is read too.
    """
    try:
        folders = [folder or profile_folder()]
        if folder is None and sys.platform == "darwin":
            folders.append(Path.home() / "Library" / "Application Support" / "rawkd" / "cameras")
    except (OutputError, RuntimeError):
        return []
    found = {path.name: path for folder in reversed(folders) for path in folder.glob("*.json")}
    return [found[name] for name in sorted(found)]


def installed_profile(capture: Capture, folder: Path | None = None) -> tuple[Path | None, tuple[str, ...]]:
    """The calibration file that serves a photo, or None, and a sentence for each file that could not.

    Of several of its camera the one that covers the photo's ISO, or else comes nearest, serves. A photo without a model
    or an ISO has none: a calibration says nothing about it.

    Parameters
    ----------
    folder : where the files lie; None for `profile_folder`.
    """
    found, unreadable = _profiles_of(capture, folder)
    warnings = []
    for path, profile in found:
        try:
            profile.noise_at(capture.iso or 0)
        except NoiseError as error:
            low, high = profile.iso_range
            warnings.append(
                f"{path}: the calibration file, of ISO {low:g} to {high:g}, says nothing of ISO {capture.iso:g}"
                f" ({error}); it is not used"
            )
        else:
            return path, tuple(warnings)
    return None, tuple(warnings or unreadable)


def known_defects(capture: Capture, calibration: Path | None, folder: Path | None = None) -> tuple[DefectMap, ...]:
    """The maps of defective pixels in a calibration file, or else in the one of the photo's camera in `folder`.

    A file of another camera has none for this one. Without a folder the user's own is looked into.

    Raises
    ------
    NoiseError: if the file that is named cannot be read.
    """
    if calibration is None:
        found, _ = _profiles_of(capture, folder)
        return found[0][1].defects if found else ()
    profile = read_profile(calibration)
    return profile.defects if profile.is_of(capture.make, capture.model) else ()


def profile_name(make: str, model: str) -> str:
    """The file name under which a camera's calibration is installed."""
    words = "".join(sign.lower() if sign.isalnum() else " " for sign in f"{make} {model}").split()
    return "-".join(words) + ".json"


def _profiles_of(capture: Capture, folder: Path | None) -> tuple[list[tuple[Path, CameraProfile]], list[str]]:
    """The calibration files of a photo's camera, nearest to its ISO first, else by name; and what cannot be read."""
    iso = capture.iso
    if not capture.model.strip() or not iso or iso <= 0:
        return [], []
    found, unreadable = [], []
    for path in installed_files(folder):
        try:
            profile = read_profile(path)
        except NoiseError as error:
            unreadable.append(str(error))
            continue
        if profile.is_of(capture.make, capture.model):
            found.append((path, profile))
    return sorted(found, key=lambda one: _times_outside(one[1], iso)), unreadable


def _times_outside(profile: CameraProfile, iso: float) -> float:
    """Factor by which an ISO lies outside the measured range; 1 within it."""
    low, high = profile.iso_range
    return max(low / iso, iso / max(high, 1.0), 1.0)
