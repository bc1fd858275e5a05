"""A linear picture: the camera's three colours at every pixel, demosaiced and otherwise unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from rawkd.errors import InputError
from rawkd.photo.mosaic import FrameArray


@dataclass(frozen=True, eq=False)
class LinearPicture:
    """Demosaiced pixels of the active area in camera colour, not white-balanced, with black at 0.

    Attributes
    ----------
    data : (H, W, 3) uint16 R, G, B. white_dn : value of signal 1, at most 65535.

    Raises
    ------
    InputError: if shape, type or white level are not as said.
    """

    data: FrameArray
    white_dn: int

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or self.data.shape[2] != 3 or self.data.dtype != "uint16":
            raise InputError(f"a linear picture must be (H, W, 3) uint16, not {self.data.dtype} {self.data.shape}")
        if not 0 < self.white_dn <= 65535:
            raise InputError(f"the white level {self.white_dn} of a linear picture is not between 1 and 65535")
