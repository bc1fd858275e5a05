"""Make noisy raws of known noise from clean pictures, with fixed seeds, gains and CFA phases.

Pictures are converted to linear camera colour after Brooks et al., CVPR 2019 (inverse tone curve, gamma 2.2, the matrix
of one camera, one white balance). Then they get exact Poisson noise, Gaussian read noise around the prior line of that
paper, 14 bits, and clipping at DN 0. Results are rounded to integers before scoring, as in a DNG. The constants are our
choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError, UsageError
from rawkd.evaluation.datasets.case import RAW_RULES, Case, Score, raw_values
from rawkd.evaluation.datasets.photos import NoiseChoice
from rawkd.evaluation.datasets.synthetic_photos import (
    CAMERA_FROM_XYZ,
    NEUTRAL,
    mosaic_of,
    noisy_photo,
    true_noise,
)
from rawkd.evaluation.developed import SRGB_RULE, SrgbScores
from rawkd.files.naming import RAW_SUFFIXES
from rawkd.files.read.pictures import PICTURE_SUFFIXES, read_picture
from rawkd.files.read.raw import read_raw
from rawkd.photo import BAYER_PHASES, CFAPattern, DoubleArray, Kind, Mosaic
from rawkd.render.color import ProcessMetadata, camera_from_rgb
from rawkd.sensor.cfa import offset_of, unpack
from rawkd.training.data.clean import bin_mosaic
from rawkd.training.data.unprocess import expand_gamma, inverse_tone

XTRANS_PHASES = tuple(dict.fromkeys(CFAPattern.XTRANS.shifted(top, left) for top in range(6) for left in range(6)))
PHASES_OF: dict[Kind, tuple[CFAPattern, ...]] = {
    "bayer": BAYER_PHASES,
    "xtrans": XTRANS_PHASES,
    "mono": (CFAPattern.MONO,),
}
"""All phases of each kind of sensor: 4 of Bayer, 18 of X-Trans."""
GAINS = (5e-5, 3e-4, 1.5e-3, 6e-3, 2.5e-2)
PHASES = BAYER_PHASES
EXPOSURES = (0.25, 0.5, 0.9)
"""Brightness factors of the pictures, used in turn."""
SEED, SIDE_PX = 1000, 640
COMPARABLE = "a picture's noise depends on the gains listed before it: compare only runs with the same --gains"


@dataclass(frozen=True)
class SyntheticOptions:
    """Options of the synthetic benchmark.

    Attributes
    ----------
    gains : gains in signal units, 0..1. phases : CFA phases of the pictures, used in turn.
    seed : seed of the first picture; each further one adds 1, so those of independent runs are further apart than that.
    side_px : largest height and width; larger pictures are cropped to their centre.
    tagged : half | all | none: which pictures have a NoiseProfile (half: every second, from the first).
    true_noise : whether methods are also scored with the parameters of the noise that was added.
    """

    gains: tuple[float, ...] = GAINS
    phases: tuple[CFAPattern, ...] = PHASES
    seed: int = SEED
    side_px: int = SIDE_PX
    tagged: str = "half"
    true_noise: bool = False

    def __post_init__(self) -> None:
        if not self.gains or not all(0 < gain < 1 for gain in self.gains):
            raise UsageError(f"all gains must lie between 0 and 1, not {self.gains}")
        if not self.phases or self.side_px < 64 or self.tagged not in ("half", "all", "none"):
            raise UsageError("give at least one phase, a side of at least 64 pixels, and tags on half, all or none")

    @property
    def made_with(self) -> dict[str, object]:
        """The options that make the noise, plain JSON by their names on the command line."""
        return {
            "gains": list(self.gains),
            "cfa": self.phases[0].kind,
            "phases": [str(phase) for phase in self.phases],
            "seed": self.seed,
            "side": self.side_px,
            "tagged": self.tagged,
        }

    def has_tag(self, index: int) -> bool:
        """Whether the picture at `index` has a NoiseProfile."""
        return self.tagged == "all" or (self.tagged == "half" and index % 2 == 0)


class Synthetic:
    """The clean pictures of a folder (sRGB, or raw files binned to half size), sorted by name."""

    name = "synthetic"

    def __init__(self, folder: Path, options: SyntheticOptions, choice: NoiseChoice) -> None:
        self._paths = clean_pictures(folder)
        self._options = options
        self._choice = choice
        self._srgb = SrgbScores()
        self.total = len(self._paths) * len(options.gains)
        self.rules = (
            RAW_RULES
            | SRGB_RULE
            | choice.rule
            | {
                "crop": f"centre {options.side_px} x {options.side_px} pixels of every picture",
                "result": "rounded to 14-bit integers as in the file: black 512, white 16383, clipped at DN 0",
                "synthesis": f"gains {', '.join(f'{gain:g}' for gain in options.gains)}; phases "
                f"{', '.join(dict.fromkeys(map(str, options.phases)))} in turn; exposures {EXPOSURES} in turn; "
                f"seed {options.seed} + index of the picture; NoiseProfile on {options.tagged}",
                "comparable": COMPARABLE,
            }
        )

    def cases(self) -> Iterator[Case]:
        """Yield all gains of a picture, then the next picture; one generator makes their noise in turn."""
        for index, path in enumerate(self._paths):
            rng = np.random.default_rng(self._options.seed + index)
            pattern = self._options.phases[index % len(self._options.phases)]
            clean = self._clean(path, pattern) if path.suffix.lower() in RAW_SUFFIXES else None
            if clean is None:
                camera = linear_camera(path, self._options.side_px) * EXPOSURES[index % len(EXPOSURES)]
                clean = mosaic_of(camera, pattern)
            reference = Mosaic(clean.astype(np.float32), pattern)
            for gain in self._options.gains:
                photo = noisy_photo(clean, pattern, gain, rng, tagged=True)
                truth = true_noise(photo) if self._options.true_noise else None
                if not self._options.has_tag(index):
                    photo = replace(photo, noise_profile=())
                noise, warnings = self._choice.of(photo)
                yield Case(
                    name=f"{path.name} gain {gain:g}",
                    group=f"gain {gain:g}",
                    noisy=photo.mosaic,
                    reference=reference,
                    noise=noise,
                    saturation=photo.levels.saturation,
                    floor=photo.levels.floor,
                    gain=gain,
                    color=ProcessMetadata.of(photo.color),
                    photo=photo,
                    true_noise=truth,
                    made_with=self._options.made_with,
                    warnings=warnings,
                )

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:  # noqa: ARG002
        """Yield raw and sRGB scores of the result, rounded as in a DNG."""
        if case.reference is None or case.photo is None:
            return
        written = case.photo.with_mosaic(restored).mosaic
        yield Score(case.name, raw_values(written, case.reference) | self._srgb.of(written, case))

    def _clean(self, path: Path, pattern: CFAPattern) -> DoubleArray:
        """Return the mosaic of a raw file, binned 2 x 2 (a quarter of the noise variance), in the given CFA phase."""
        if pattern.kind != "bayer":
            raise InputError(
                f"{path}: a raw file has no colours for {pattern} pixels. Give PNG, TIFF or JPEG pictures."
            )
        rggb = np.clip(unpack(bin_mosaic(read_raw(path).mosaic)).astype(np.float64), 0, 1)
        top, left = offset_of(pattern)
        return _centre(rggb[top : rggb.shape[0] - top, left : rggb.shape[1] - left], self._options.side_px, path)


def clean_pictures(folder: Path) -> list[Path]:
    """Return the pictures and raw files of a folder, not of its subfolders, sorted by name.

    Raises
    ------
    InputError: if it is not a folder, or has no pictures.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: this is not a folder. Give a folder of clean pictures.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES | RAW_SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: there are no pictures. Add PNG, TIFF, JPEG or raw files.")
    return paths


def linear_camera(path: Path, side_px: int) -> DoubleArray:
    """Return the centre of a picture in linear camera colour, (H, W, 3) float64 in 0..1, H and W even."""
    picture = read_picture(path)
    encoded = _centre(picture, side_px, path).astype(np.float64) / np.iinfo(picture.dtype).max
    linear = expand_gamma(inverse_tone(encoded))
    camera: DoubleArray = np.clip((linear @ camera_from_rgb(CAMERA_FROM_XYZ).T) * NEUTRAL, 0, 1)
    return camera


def _centre(picture: NDArray[Any], side_px: int, path: Path) -> NDArray[Any]:
    """Crop a picture to its centre, at most `side_px` pixels high and wide, with even sizes."""
    top, left = (max(0, (size - side_px) // 2) for size in picture.shape[:2])
    height, width = (min(size, side_px) // 2 * 2 for size in picture.shape[:2])
    if min(height, width) < 32:
        size = f"{picture.shape[1]} x {picture.shape[0]}"
        raise InputError(f"{path}: the picture is too small ({size} pixels). Use at least 32 x 32.")
    return picture[top : top + height, left : left + width]
