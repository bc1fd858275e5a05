"""Make clean raw crops: a window of a picture in a random symmetry, exposure, and camera colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.photo import CFAPattern, FloatArray
from rawkd.render.color import ProcessMetadata
from rawkd.sensor.cfa import pack
from rawkd.training.data.augment import random_exposure, random_symmetry, turn_picture, turn_planes
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.crops import draw_window, sum_of_fours
from rawkd.training.data.unprocess import Look, camera_mosaic, linear_table, linearise, random_look


@dataclass(frozen=True)
class Crop:
    """One clean crop.

    Attributes
    ----------
    planes : (planes, h, w) float32 signal of a packed mosaic, 0..1.
    metadata : white balance and colour matrix to develop it.
    """

    planes: FloatArray
    metadata: ProcessMetadata


def picture_crop(
    pictures: CleanSet, side_px: int, rng: np.random.Generator, tries: int = 1, *, cell: CFAPattern = CFAPattern.RGGB
) -> Crop:
    """Return a random crop, (planes, side, side) signal, in a random symmetry, exposure and camera colour.

    Parameters
    ----------
    pictures : one is drawn, with probability proportional to its area. side_px : side of the crop, packed pixels.
    tries : random positions; the most detailed one is used (`crops.draw_window`).
    cell : the canonical CFA; pictures that are binned raw files need Bayer.
    """
    picture = pictures.draw(rng)
    if picture.dtype == np.float32:
        cell.require_bayer("training with raw files")
        return _crop_of_raw(picture, side_px, rng)
    window, halvings = draw_window(picture, cell.side * side_px, tries, rng)
    return exposed(linear_half_size(window) if halvings else linearise(window), rng, cell)


def _crop_of_raw(planes: FloatArray, side_px: int, rng: np.random.Generator) -> Crop:
    """Return a crop of a binned raw file. Its samples are camera samples already, so only the exposure changes."""
    top, left = (int(rng.integers(0, size - side_px)) for size in planes.shape[1:])
    window = planes[:, top : top + side_px + 1, left : left + side_px + 1]
    turned = turn_planes(window, random_symmetry(rng))[:, :side_px, :side_px]
    look = random_look(rng)
    planes = np.clip(turned * np.float32(random_exposure(rng)), 0, 1)
    return Crop(planes, look.metadata(brightened=False))


def linear_half_size(picture: NDArray[Any]) -> FloatArray:
    """Return a (2H, 2W, 3) sRGB picture, uint8 or uint16, averaged 2x2 and linearised, (H, W, 3) float32.

    The averages are not rounded to integers of the source.
    """
    white = 255 if picture.dtype == np.uint8 else 65535
    return linear_table(4 * white).take(sum_of_fours(picture))


def window_of(picture: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    """Return the (side, side, 3) window of an (H, W, 3) picture."""
    return picture[top : top + side, left : left + side]


def exposed(linear: FloatArray, rng: np.random.Generator, cell: CFAPattern = CFAPattern.RGGB) -> Crop:
    """Return a crop of (side h, side w, 3) linear sRGB in a random symmetry, camera colour and exposure.

    Half of the crops of X-Trans have R and B exchanged, as in half of the members of a self-ensemble.
    """
    look = random_look(rng)
    symmetry = random_symmetry(rng)
    exchanged = cell.kind == "xtrans" and rng.random() < 0.5
    mosaic = camera_mosaic(turn_picture(linear, symmetry), look, cell.exchanged() if exchanged else cell)
    planes = pack(mosaic, cell.side) * np.float32(random_exposure(rng))
    return Crop(np.clip(planes, 0, 1), metadata_of(look, cell, exchanged=exchanged))


def metadata_of(look: Look, cell: CFAPattern, *, exchanged: bool = False) -> ProcessMetadata:
    """Return the metadata to develop a mosaic of a CFA; those of monochrome change nothing.

    Parameters
    ----------
    exchanged : whether R and B have traded places in the mosaic.
    """
    if cell.kind == "mono":
        return ProcessMetadata(np.ones(3), np.eye(3))
    metadata = look.metadata(brightened=False)
    if not exchanged:
        return metadata
    return ProcessMetadata(metadata.gains[::-1], metadata.rgb_from_camera[:, ::-1])
