"""Denoise raw photos: read a raw file, restore its mosaic, write a DNG.

The public functions are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rawkd.files.read.raw import read_raw
    from rawkd.files.write.dng import write_dng
    from rawkd.restore.options import DenoiseOptions
    from rawkd.restore.pipeline import Restoration, denoise

__version__ = "0.1.0"
__all__ = ["DenoiseOptions", "Restoration", "__version__", "denoise", "read_raw", "write_dng"]

_HOME_OF = {
    "DenoiseOptions": "rawkd.restore.options",
    "Restoration": "rawkd.restore.pipeline",
    "denoise": "rawkd.restore.pipeline",
    "read_raw": "rawkd.files.read.raw",
    "write_dng": "rawkd.files.write.dng",
}


def __getattr__(name: str) -> object:
    """Load a public function from the module that defines it."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rawkd' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    """Names of the public functions, loaded or not."""
    return sorted(__all__)
