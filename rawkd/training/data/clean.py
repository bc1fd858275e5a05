"""Find and decode clean training pictures: folders of photographs, and raw files that are binned to reduce noise.

Pictures are decoded once and kept in memory up to a limit. Unusable files are listed with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError
from rawkd.files.naming import RAW_SUFFIXES
from rawkd.files.read.pictures import PICTURE_SUFFIXES, read_picture
from rawkd.files.read.raw import read_raw
from rawkd.photo import FloatArray, Mosaic
from rawkd.sensor.cfa import Unification, pack

MEMORY_LIMIT = 4 << 30
"""Largest size of the decoded pictures in memory, bytes."""


class CleanSet:
    """A set of clean pictures. They stay decoded up to a memory limit; the others are decoded again when drawn.

    Attributes
    ----------
    paths : the usable pictures. skipped : "file: reason" for every file that was left out of this and the other set.
    folders : the folders that were searched.
    """

    def __init__(self, paths: list[Path], min_side_px: int, memory_limit: int) -> None:
        self.paths: list[Path] = []
        self.folders: list[Path] = []
        self.skipped: list[str] = []
        self._decoded: dict[Path, NDArray[Any]] = {}
        areas: list[int] = []
        room = memory_limit
        for path in paths:
            try:
                picture = _decode(path)
            except InputError as error:
                self.skipped.append(str(error))
                continue
            height, width = _mosaic_size(picture)
            if min(height, width) < min_side_px:
                self.skipped.append(f"{path}: {width} x {height} pixels are smaller than a crop of {min_side_px}")
                continue
            self.paths.append(path)
            areas.append(height * width)
            if picture.nbytes <= room:
                self._decoded[path] = picture
                room -= picture.nbytes
        self._ends = np.cumsum(areas, dtype=np.float64)

    @property
    def names(self) -> list[str]:
        """Names of the usable pictures: their paths relative to the searched folders."""
        return [
            next(path.relative_to(top).as_posix() for top in self.folders if top in path.parents) for path in self.paths
        ]

    def without(self, paths: list[Path]) -> CleanSet:
        """Return the set without these pictures, perhaps an empty one; itself if it has none of them."""
        kept = [path for path in self.paths if path not in paths]
        if len(kept) == len(self.paths):
            return self
        fewer = CleanSet(kept, 0, MEMORY_LIMIT)
        fewer.folders = self.folders
        return fewer

    def draw(self, rng: np.random.Generator) -> NDArray[Any]:
        """Return a random picture, with probability proportional to its area.

        It is uint8 or uint16 (H, W, 3) sRGB, or the float32 (4, h, w) signal of a binned raw file.
        """
        index = int(np.searchsorted(self._ends, rng.random() * self._ends[-1], side="right"))
        path = self.paths[min(index, len(self.paths) - 1)]
        return self._decoded[path] if path in self._decoded else _decode(path)


def find_pictures(
    folders: list[Path],
    min_side_px: int,
    hold_out_every: int = 12,
    memory_limit: int = MEMORY_LIMIT,
    *,
    raw: bool = True,
) -> tuple[CleanSet, CleanSet]:
    """Return the training set and the validation (held-out) set of the pictures and raw files below `folders`.

    Parameters
    ----------
    min_side_px : smaller pictures are skipped. hold_out_every : every n-th picture, by name, is held out.
    memory_limit : largest size of the decoded pictures of both sets together, bytes.
    raw : whether to use raw files; otherwise they are listed as skipped.

    Raises
    ------
    InputError: if a folder is missing or there is no usable picture.
    """
    paths: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: not a folder. Give a folder of pictures with --data.")
        paths += sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES | RAW_SUFFIXES)
    unfit = [] if raw else [path for path in paths if path.suffix.lower() in RAW_SUFFIXES]
    paths = [path for path in paths if path not in unfit]
    room = memory_limit // hold_out_every
    held_out = CleanSet(paths[::hold_out_every], min_side_px, room)
    training = CleanSet(
        [path for number, path in enumerate(paths) if number % hold_out_every], min_side_px, memory_limit - room
    )
    training.folders = held_out.folders = folders
    skipped = [f"{path}: a raw file, but this recipe needs finished pictures" for path in unfit]
    skipped = training.skipped = held_out.skipped = skipped + held_out.skipped + training.skipped
    if not training.paths and not held_out.paths:
        raise InputError(
            f"{', '.join(map(str, folders))}: no usable picture ({len(skipped)} skipped"
            f"{', first ' + skipped[0] if skipped else ''}). Add pictures of at least {min_side_px} pixels a side."
        )
    return training if training.paths else held_out, held_out if held_out.paths else training


def _decode(path: Path) -> NDArray[Any]:
    return binned_raw(path) if path.suffix.lower() in RAW_SUFFIXES else read_picture(path)


def _mosaic_size(picture: NDArray[Any]) -> tuple[int, int]:
    """Return (height, width) available for crops, mosaic pixels; flipping a binned raw file costs one packed pixel."""
    if picture.dtype == np.float32:
        return 2 * picture.shape[1] - 2, 2 * picture.shape[2] - 2
    return picture.shape[0], picture.shape[1]


def binned_raw(path: Path) -> FloatArray:
    """Return the (4, h, w) float32 signal of a raw file, with 2x2 samples of every colour averaged.

    This halves the noise without demosaicing.

    Raises
    ------
    InputError: as `read_raw`.
    """
    return bin_mosaic(read_raw(path).mosaic)


def bin_mosaic(mosaic: Mosaic) -> FloatArray:
    """Return a Bayer mosaic of any phase at half size: (4, h, w) planes of RGGB, cropped to whole cells."""
    unification = Unification.of(mosaic.data.shape, mosaic.pattern)
    inside = mosaic.data[unification.top :, unification.left :]
    height, width = inside.shape[0] // 4 * 4, inside.shape[1] // 4 * 4
    planes = pack(inside[:height, :width])
    binned: FloatArray = (
        planes[:, 0::2, 0::2] + planes[:, 1::2, 0::2] + planes[:, 0::2, 1::2] + planes[:, 1::2, 1::2]
    ) * np.float32(0.25)
    return binned
