"""Denoise raw photos: read a raw file, restore its mosaic, write a DNG.

The public functions are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawkd.api import denoise, denoise_file, photo_of, read_raw, write_dng
    from rawkd.arguments import Cancel
    from rawkd.photo import RawPhoto
    from rawkd.process import ProcessOptions
    from rawkd.report import Report
    from rawkd.restore.context import Context
    from rawkd.restore.mosaic import Progress
    from rawkd.restore.options import DenoiseOptions
    from rawkd.restore.pipeline import Restoration
    from rawkd.sensor.noise import NoiseModel

__version__ = "0.1.0"
__all__ = [
    "Cancel",
    "Context",
    "DenoiseOptions",
    "NoiseModel",
    "ProcessOptions",
    "Progress",
    "RawPhoto",
    "Report",
    "Restoration",
    "__version__",
    "denoise",
    "denoise_file",
    "photo_of",
    "read_raw",
    "write_dng",
]

_HOME_OF = {
    "Cancel": "rawkd.arguments",
    "Context": "rawkd.restore.context",
    "DenoiseOptions": "rawkd.restore.options",
    "NoiseModel": "rawkd.sensor.noise",
    "ProcessOptions": "rawkd.process",
    "Progress": "rawkd.restore.mosaic",
    "RawPhoto": "rawkd.photo",
    "Report": "rawkd.report",
    "Restoration": "rawkd.restore.pipeline",
    "denoise": "rawkd.api",
    "denoise_file": "rawkd.api",
    "photo_of": "rawkd.api",
    "read_raw": "rawkd.api",
    "write_dng": "rawkd.api",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module that defines it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rawkd' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
