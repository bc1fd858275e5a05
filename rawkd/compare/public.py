"""What a page may show to everyone: no folders, places, owners or serial numbers."""

from __future__ import annotations

import os
from pathlib import Path

from rawkd.photo import Capture


def public_capture(capture: Capture) -> Capture:
    """Return the part of the capture that may be shown to everyone."""
    return Capture(
        make=capture.make,
        model=capture.model,
        iso=capture.iso,
        exposure_s=capture.exposure_s,
        aperture=capture.aperture,
        focal_length_mm=capture.focal_length_mm,
    )


def without_folders(text: str, photo: Path) -> str:
    """Remove the folder of the photo from a text and replace the user's home folder by ~."""
    for folder in (photo.parent, photo.resolve().parent):
        if folder != folder.parent and str(folder) != ".":
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "").replace(str(folder), "")
    home = os.path.expanduser("~")  # noqa: PTH111 -- "~" itself for a user without a home, where Path.home fails
    return text.replace(home, "~") if len(home) > 1 else text
