"""What a page may show to everyone: no folders, places, owners or serial numbers."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rawkd.photo import Capture
from rawkd.user_folders import cache_folder, config_folder

ABSOLUTE = r"(?<![^\s'\"(=])(?:[A-Za-z]:)?[/\\](?:[^\s/\\:]+[/\\])*(?=[^\s/\\])"
"""The folders of an absolute path: after a space, quote, bracket or equals sign, up to its last name."""


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
    """Return a text in which the photo and every absolute path has no folder any more.

    Folders with spaces are recognised if they are the photo's, the user's home, or those of rawkd below it.
    """
    text = text.replace(str(photo), photo.name)
    home = os.path.expanduser("~")  # noqa: PTH111 -- "~" itself for a user without a home, where Path.home fails
    own = (str(photo.resolve().parent), home, *(str(one) for one in (config_folder(), cache_folder()) if one))
    for folder in sorted((one for one in own if len(one) > 1), key=len, reverse=True):
        text = re.sub(rf"(?<![\w/\\]){re.escape(folder)}[/\\]", "/", text)
    return re.sub(ABSOLUTE, "", text)
