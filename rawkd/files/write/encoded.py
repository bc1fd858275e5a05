"""Pictures as bytes for a page: JPEG without any metadata."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray


def jpeg_bytes(rgb: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG of (H, W, 3) sRGB, chroma at full resolution, neither EXIF nor profile in it. quality : 1..100."""
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
    return stream.getvalue()
