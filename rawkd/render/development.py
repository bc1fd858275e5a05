"""Convert white-balanced planes to encoded pixels: highlights, colour and tone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, DoubleArray, FloatArray, RawPhoto, SiteArray
from rawkd.render.color import ProcessMetadata, color_correct, viewing_curve

BLOWN_FROM = 0.95
"""Fraction of saturation from which a pixel counts as partly blown; at 1 it counts fully (our choice)."""

TOWARDS_WHITE = np.float32(0.3)
"""How far a blown colour is raised from the darkest to the brightest of its cell where these are alike (our choice)."""

CURVE_STEPS = 65535


@dataclass(frozen=True, eq=False)
class Development:
    """Converts white-balanced planes to encoded pixels.

    Signal 1 is the lowest saturation of all planes and the smallest gain is 1. Every channel of a
    neutral blown area therefore reaches 1. A blown pixel gives only a lower limit of the light, so it is raised to the
    darkest white-balanced colour of its cell that is not blown, and somewhat further; where all are blown, to the
    brightest. So grey stays grey however much of it clips, and coloured lights turn white without a step; their hue
    cannot stay, since it is not known. Colours beyond 1 after the matrix keep their hue: the largest component
    becomes 1, the smallest stays, and the middle one keeps its relative position.

    Attributes
    ----------
    colours, saturation : (planes,) colour of each plane, 0 to 2, and signal at which it clips.
    groups : planes that form a cell of all colours; none for monochrome.
    curve : (CURVE_STEPS + 1,) encoded values of linear 0..1, in the type `kind`. kind : type of the encoded pixels.
    """

    metadata: ProcessMetadata
    colours: SiteArray
    saturation: DoubleArray
    groups: tuple[SiteArray, ...]
    curve: NDArray[Any]
    kind: np.dtype[Any]

    @classmethod
    def of(cls, photo: RawPhoto, exposure_ev: float, kind: np.dtype[Any]) -> Development:
        """Return the conversion for a photo; `kind` is the type of the pixels."""
        metadata = ProcessMetadata.of(photo.color)
        cell = photo.pattern.canonical
        classes = cell.class_of_site.ravel()
        exposure = 2.0 ** (exposure_ev + photo.color.baseline_exposure)
        metadata = ProcessMetadata(metadata.gains / metadata.gains.min(), metadata.rgb_from_camera * exposure)
        curve = quantised(viewing_curve(np.linspace(0.0, 1.0, CURVE_STEPS + 1)), kind)
        saturation = photo.levels.plane_saturation(photo.pattern)[classes]
        return cls(metadata, cell.colour_of_class[classes], saturation, groups_of(cell), curve, kind)

    def balance(self, planes: FloatArray, gains: FloatArray | None = None) -> FloatArray:
        """White-balance (planes, h, w) signal and reconstruct highlights.

        `gains` are the gain maps, in the same shape. Blown pixels are found in the signal before these gains, since
        the sensor clips before them.
        """
        of_planes = (self.metadata.gains / self.saturation.min()).astype(np.float32)[self.colours]
        balanced: FloatArray = planes * of_planes[:, None, None]
        if gains is not None:
            balanced *= gains
        # a hundredth of room: a pixel must not depend on whether another one of its block lets it be looked at
        if self.groups and planes.max(initial=0.0) > 0.99 * BLOWN_FROM * self.saturation.min():
            part = planes * (1 / self.saturation).astype(np.float32)[:, None, None]
            np.clip(part, 0.0, 1.0, out=part)
            for group in self.groups:
                balanced[group] = _raised(balanced[group], part[group], self.colours[group])
        return balanced

    def encode_grey(self, grey: FloatArray) -> NDArray[Any]:
        """Convert white-balanced values of a monochrome sensor to encoded values of type `kind`, same shape."""
        linear = grey * np.float32(self.metadata.rgb_from_camera[1].sum())
        steps = np.clip(linear * np.float32(CURVE_STEPS) + np.float32(0.5), 0.0, CURVE_STEPS).astype(np.intp)
        encoded: NDArray[Any] = self.curve.take(steps, mode="clip")
        return encoded

    def encode(self, rgb: FloatArray) -> NDArray[Any]:
        """Convert (3, ..., w) white-balanced camera colour to encoded values of type `kind`, same shape."""
        linear: FloatArray = color_correct(rgb.reshape(3, 1, -1), self.metadata.rgb_from_camera).reshape(rgb.shape)
        peak = linear.max(axis=0)
        bright = peak > 1
        if bright.any():
            low = np.clip(linear.min(axis=0), 0.0, 1.0)
            compressed = linear - low
            compressed *= (1 - low) / (np.maximum(peak, 1 + 1e-6) - low)
            np.copyto(linear, np.add(compressed, low, out=compressed), where=bright)
        linear *= np.float32(CURVE_STEPS)
        linear += np.float32(0.5)
        np.clip(linear, 0.0, CURVE_STEPS, out=linear)
        encoded: NDArray[Any] = self.curve.take(linear.astype(np.intp), mode="clip")
        return encoded


def _raised(values: FloatArray, part: FloatArray, colours: SiteArray) -> FloatArray:
    """Raise the blown pixels of a group.

    Parameters
    ----------
    values : (n, h, w) white-balanced. part : of saturation, 0..1, same shape. colours : (n,) of the pixels.
    """
    blown = np.maximum((part - np.float32(BLOWN_FROM)) / np.float32(1 - BLOWN_FROM), 0)
    brightest = values.max(axis=0)
    darkest = _darkest_colour(values + blown * (brightest - values), colours)
    raised: FloatArray = values + blown * np.maximum(darkest - values, 0)
    white = np.maximum(_darkest_colour(raised, colours), 0) / np.maximum(brightest, np.float32(1e-6))
    # all of the way to white when the last colour clips
    least = part.min(axis=0) ** 2
    share = np.maximum(blown * white * TOWARDS_WHITE, blown.max(axis=0) * least * least * least)
    raised += share * (brightest - raised)
    return raised


def _darkest_colour(values: FloatArray, colours: SiteArray) -> FloatArray:
    """Return the darkest of three colours; a colour is its brightest pixel, since an edge may cross the group."""
    by_colour = [values[colours == colour].max(axis=0) for colour in range(3)]
    darkest: FloatArray = np.minimum(np.minimum(by_colour[0], by_colour[1]), by_colour[2])
    return darkest


def groups_of(cell: CFAPattern) -> tuple[SiteArray, ...]:
    """Return the planes of the smallest parts of a canonical cell that hold all colours.

    They are the 2 x 2 pixels of Bayer and each of the four 3 x 3 blocks of X-Trans; a monochrome cell has none.
    """
    if cell.kind == "mono":
        return ()
    sites = np.arange(cell.side**2, dtype=np.intp).reshape(cell.side, cell.side)
    half = 2 if cell.kind == "bayer" else 3
    tops = range(0, cell.side, half)
    return tuple(sites[top : top + half, left : left + half].ravel() for top in tops for left in tops)


def quantised(encoded: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Convert encoded 0..1 to float32, or round it to the range of an integer type."""
    if kind == np.float32:
        return encoded.astype(np.float32)
    rounded: NDArray[Any] = np.rint(encoded * np.iinfo(kind).max).astype(kind)
    return rounded
