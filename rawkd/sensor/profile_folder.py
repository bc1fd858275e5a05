"""Calibration files that the user has installed, found by the camera they are of."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rawkd.errors import NoiseError
from rawkd.photo import Capture
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.profile import read_profile


def profile_folder() -> Path:
    """Where installed calibration files lie: rawkd/cameras in the user's configuration folder.

    XDG_CONFIG_HOME or ~/.config on Linux, ~/Library/Application Support on macOS, APPDATA on Windows.
    """
    if sys.platform == "darwin":
        home = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        home = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "rawkd" / "cameras"


def installed_profile(capture: Capture, folder: Path | None = None) -> tuple[Path | None, tuple[str, ...]]:
    """The first calibration file of the photo's camera by name, or None, and a sentence for each file that is none.

    A photo without a model or an ISO has none: a calibration says nothing about it.

    Parameters
    ----------
    folder : where the files lie; None for `profile_folder`.
    """
    folder = folder or profile_folder()
    if not capture.model.strip() or not capture.iso or capture.iso <= 0 or not folder.is_dir():
        return None, ()
    warnings = []
    for path in sorted(folder.glob("*.json")):
        try:
            if read_profile(path).is_of(capture.make, capture.model):
                return path, ()
        except NoiseError as error:
            warnings.append(str(error))
    return None, tuple(warnings)


def known_defects(capture: Capture, calibration: Path | None, folder: Path | None = None) -> tuple[DefectMap, ...]:
    """The maps of defective pixels in a calibration file, or else in the one of the photo's camera in `folder`.

    A file of another camera has none for this one. Without a folder the user's own is looked into.

    Raises
    ------
    NoiseError: if the file that is named cannot be read.
    """
    path = calibration or installed_profile(capture, folder)[0]
    profile = None if path is None else read_profile(path)
    return profile.defects if profile is not None and profile.is_of(capture.make, capture.model) else ()


def profile_name(make: str, model: str) -> str:
    """The file name under which a camera's calibration is installed."""
    words = "".join(sign.lower() if sign.isalnum() else " " for sign in f"{make} {model}").split()
    return "-".join(words) + ".json"
