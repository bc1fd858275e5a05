"""Encode pictures for an HTML page: JPEG without metadata."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray


def jpeg_bytes(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """Return a JPEG of (H, W, 3) sRGB with full-resolution chroma, without EXIF and profile. quality : 1..100."""
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    return stream.getvalue()
