"""Find the calibration files that the user has installed for a photo's camera."""

from __future__ import annotations

import sys
from pathlib import Path

from rawkd.errors import NoiseError, OutputError
from rawkd.photo import Capture
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.profile import CameraProfile, read_profile
from rawkd.user_folders import config_folder


def profile_folder() -> Path:
    """Return the folder of installed calibration files: `cameras` in the user's `config_folder`.

    Raises
    ------
    OutputError: if the user has no home folder, as in some services and containers.
    """
    folder = config_folder()
    if folder is None:
        raise OutputError(
            "the folder of installed calibration files is unknown because the user has no home folder. Set HOME, or"
            " name a calibration file (calibrate --out FILE.json, denoise --calibration FILE.json)."
        )
    return folder / "cameras"


def installed_files(folder: Path | None = None) -> list[Path]:
    """Return the calibration files in a folder, sorted by name; none if the user has no home folder.

    On macOS, where `profile_folder` follows XDG_CONFIG_HOME, ~/Library/Application Support/rawkd/cameras is read too.

    Parameters
    ----------
    folder : where the files lie; None for `profile_folder`.
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
    """Return the calibration file to use for a photo, or None, and a warning for each file that does not fit.

    If the camera has several files, the one that covers the photo's ISO is used, otherwise the nearest one. For a photo
    without a camera model or an ISO, no file is used.

    Parameters
    ----------
    folder : where the files lie; None for `profile_folder`.
    """
    if not capture.iso or capture.iso <= 0:
        return None, ()
    found, unreadable = _profiles_of(capture, folder)
    warnings = []
    for path, profile in found:
        try:
            profile.noise_at(capture.iso)
        except NoiseError as error:
            low, high = profile.iso_range
            warnings.append(
                f"{path}: the calibration file covers ISO {low:g} to {high:g} and is not used at ISO {capture.iso:g}"
                f" ({error})"
            )
        else:
            return path, tuple(warnings)
    return None, tuple(warnings or unreadable)


def known_defects(capture: Capture, calibration: Path | None, folder: Path | None = None) -> tuple[DefectMap, ...]:
    """Return the defect maps of a calibration file, or of the file installed for the photo's camera.

    Parameters
    ----------
    calibration : the file to read; its maps are used only if it belongs to the photo's camera. None searches `folder`.
    folder : where the installed files lie; None for `profile_folder`.

    Raises
    ------
    NoiseError: if `calibration` cannot be read.
    """
    if calibration is None:
        found, _ = _profiles_of(capture, folder)
        return found[0][1].defects if found else ()
    profile = read_profile(calibration)
    return profile.defects if profile.is_of(capture.make, capture.model) else ()


def profile_name(make: str, model: str) -> str:
    """Return the file name of a camera's installed calibration."""
    words = "".join(sign.lower() if sign.isalnum() else " " for sign in f"{make} {model}").split()
    return "-".join(words) + ".json"


def _profiles_of(capture: Capture, folder: Path | None) -> tuple[list[tuple[Path, CameraProfile]], list[str]]:
    """Return the calibrations of a photo's camera, nearest ISO first, then by name, and errors of unreadable files."""
    if not capture.model.strip():
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
    return sorted(found, key=lambda one: _times_outside(one[1], capture.iso)), unreadable


def _times_outside(profile: CameraProfile, iso: float | None) -> float:
    """Return the factor by which an ISO lies outside the measured range; 1 inside it, and if the ISO is unknown."""
    if not iso or iso <= 0:
        return 1.0
    low, high = profile.iso_range
    return max(low / iso, iso / max(high, 1.0), 1.0)
