"""Read rendered pictures, for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError, UsageError

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"})


def read_picture(path: Path) -> NDArray[Any]:
    """Return a picture as (H, W, 3) uint8 or uint16 sRGB; grey is repeated, and an alpha channel is dropped.

    Raises
    ------
    InputError: if it cannot be decoded, or is not a colour picture of 8 or 16 bits. UsageError: if imageio is missing.
    """
    try:
        import imageio.v3 as iio
        import tifffile  # noqa: F401 -- imageio's reader of TIFF
    except ImportError as error:
        raise UsageError(f"{path}: to read pictures, install imageio: pip install 'rawkd[bench]'") from error

    plugin = "tifffile" if path.suffix.lower() in (".tif", ".tiff") else "pillow"
    try:
        picture = np.asarray(iio.imread(path, plugin=plugin))
    except Exception as error:  # decoders raise many kinds of errors, and all mean damage
        raise InputError(f"{path}: cannot be read as a picture ({type(error).__name__}). Leave it out.") from error
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    if picture.ndim != 3 or picture.shape[2] < 3 or picture.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"{path}: {picture.dtype} {picture.shape} is not a colour picture of 8 or 16 bits. Leave it out."
        )
    return np.ascontiguousarray(picture[:, :, :3])
