"""Turn a picture upright, and back."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from rawkd.errors import InputError


def orient(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return an upright view of (H, W, ...) in sensor orientation, for EXIF orientation 1..8 (tag 274)."""
    if orientation not in range(1, 9):
        raise InputError(f"the orientation {orientation} is not in the range 1 to 8")
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return image[::rows, ::columns]


def turned_back(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return the view in sensor orientation that `orient` turns into `upright`."""
    # every orientation is its own inverse, except for the two quarter turns
    return orient(upright, {6: 8, 8: 6}.get(orientation, orientation))
