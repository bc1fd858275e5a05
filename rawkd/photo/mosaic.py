"""Types of a mosaic: rectangle and signal.

Pixels are *signal* = (DN - black) / (white - black), float32 and unclipped: shadows can be negative. ``H, W`` count
mosaic pixels and ``h, w`` packed pixels; planes are the sites of the canonical cell, row by row (R, Gr, Gb, B of
Bayer). Names that end in ``_dn`` are in raw units of the file (DN).
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError, refuse_other_type
from rawkd.photo.cfa import CFAPattern

WHOLE_NUMBERS = (
    "np.rint(scale * x + black).astype(np.uint16), whole numbers of DN in 0 to 65535: astype alone would cut off"
    " fractions and wrap numbers below 0"
)
"""What to pass for a frame of other numbers, x."""
SIGNAL = "np.ascontiguousarray(x, np.float32), signal that is 0 at black and 1 at white"
"""What to pass for the signal of a mosaic in another array, x."""

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
FrameArray = NDArray[np.uint16]
PixelArray = NDArray[np.int64]
"""(n, 2) rows and columns."""


@dataclass(frozen=True)
class Rect:
    """A rectangle of pixels: origin and size."""

    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise InputError(f"{name} {value!r} of a rectangle: give a whole number of pixels.")
        if self.top < 0 or self.left < 0 or self.height < 1 or self.width < 1:
            raise InputError(
                f"a rectangle of {self.width} x {self.height} pixels at row {self.top}, column {self.left} is invalid"
            )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of rows and columns that index the rectangle in an array."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def inside(self, height: int, width: int) -> bool:
        """Whether the rectangle lies within an image of `height` x `width`."""
        return self.top + self.height <= height and self.left + self.width <= width


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Signal of one mosaic.

    Attributes
    ----------
    data : (H, W) float32 signal, finite, C-contiguous; odd H and W are allowed.
    pattern : the CFA phase at data[0, 0].
    """

    data: FloatArray
    pattern: CFAPattern

    def __post_init__(self) -> None:
        refuse_other_array(self.data, "a mosaic", np.float32, SIGNAL, contiguous=True)
        refuse_other_type(self.pattern, "pattern", CFAPattern, "Pass photo.pattern, or rawkd.photo.CFAPattern('RGGB').")
        if not np.isfinite(self.data.sum(dtype=np.float64)):
            raise InputError("the mosaic contains NaN or infinite values")


def refuse_other_array(
    data: object, what: str, dtype: type[np.generic], conversion: str, *, contiguous: bool = False
) -> None:
    """Refuse what is no two-dimensional array of this type.

    Parameters
    ----------
    what : for the message ("a mosaic"). conversion : Python code that makes such an array of another one, x, and what
        its numbers mean.
    contiguous : whether the rows must follow each other in memory.

    Raises
    ------
    InputError: with the type, shape and order that it has, and what to do.
    """
    kind = f"{'contiguous ' if contiguous else ''}(H, W) {np.dtype(dtype)} array"
    if not isinstance(data, np.ndarray):
        raise InputError(f"{what} must be a {kind}, not a {type(data).__name__}. Pass an array of NumPy.")
    if data.ndim != 2:
        raise InputError(f"{what} must be a {kind}, not one of shape {data.shape}. Pass one value for each pixel.")
    if data.dtype != dtype or (contiguous and not data.flags.c_contiguous):
        order = "" if data.flags.c_contiguous else "Fortran-ordered " if data.flags.f_contiguous else "strided "
        if not contiguous and np.can_cast(data.dtype, dtype):
            conversion = f"x.astype(np.{np.dtype(dtype)}), which keeps every number"
            conversion += "" if data.dtype.isnative else " and changes the order of its bytes only"
        raise InputError(f"{what} must be a {kind}, not {order}{data.dtype} {data.shape}. Pass {conversion}.")
