"""SIDD and SIDD+ validation blocks (Abdelhamed et al., CVPR 2018 and NTIRE 2020), scored block by block.

The files do not state CFA phases. For SIDD the phase follows from the phone in the scene's name. For SIDD+ it follows
from the order of the 32 pictures, as in entries to NTIRE 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from rawkd.errors import InputError, NoiseError, UsageError
from rawkd.evaluation.datasets.case import RAW_RULES, Case, Score, raw_values
from rawkd.evaluation.datasets.matlab import Blocks, open_blocks
from rawkd.photo import BAYER_PHASES, CFAPattern, FloatArray, Mosaic
from rawkd.sensor.blind.estimate import estimate_noise
from rawkd.sensor.cfa import Unification
from rawkd.sensor.noise import NoiseModel

PHONE_PATTERNS = {
    "GP": CFAPattern.BGGR,
    "IP": CFAPattern.RGGB,
    "S6": CFAPattern.GRBG,
    "N6": CFAPattern.BGGR,
    "G4": CFAPattern.BGGR,
}
"""CFA phases of Google Pixel, iPhone 7, Galaxy S6 Edge, Nexus 6 and LG G4."""

VALIDATION_PHONES = (
    *("S6", "GP", "N6", "G4", "IP", "GP", "IP", "G4", "N6", "S6", "N6", "G4"),
    *("S6", "GP", "IP", "N6", "G4") * 5,
    *("S6", "GP", "IP"),
)
"""Phones of the 40 validation scenes, in the file's order."""

PLUS_PATTERNS = (CFAPattern.BGGR,) * 16 + (CFAPattern.RGGB,) * 12 + (CFAPattern.BGGR,) * 4
"""CFA phases of the 32 pictures of the SIDD+ validation set, in the file's order."""
PLUS_BLOCKS = 32
"""Number of blocks of each picture."""

NOISY_NAMES = ("ValidationNoisyBlocksRaw", "siddplus_valid_noisy_raw")
GT_NAMES = ("ValidationGtBlocksRaw", "siddplus_valid_gt_raw")
LARGEST_EXCESS = 1e-3
"""Largest distance of a sample from 0..1 that is accepted as rounding."""


class SIDD:
    """Pairs of blocks in two MATLAB files.

    Parameters
    ----------
    noisy, gt : the two files. plus : whether they have SIDD+'s one-axis layout (1024 blocks), not SIDD's (40 x 32).
    scenes : file with the names of the scenes in the set's order ("0009_001_S6_..."), each optionally followed by a CFA
        phase; None for the scenes of the validation set.
    """

    def __init__(self, noisy: Path, gt: Path, *, plus: bool = False, scenes: Path | None = None) -> None:
        self.name = "siddplus" if plus else "sidd"
        self.total = 0
        self._paths = noisy, gt
        self._plus = plus
        self._scenes = None if scenes is None else read_scenes(scenes)
        self.rules = RAW_RULES | {
            "psnr": "per block, 10 log10(1 / mean squared error); mean and median over all blocks",
            "noise": "estimated from all noisy blocks of a scene together; the set has no parameters for its blocks",
            "saturation": "signal 1",
        }

    def cases(self) -> Iterator[Case]:
        """Yield one case per block, scene by scene.

        Raises
        ------
        InputError: if the files do not match, or a block has a wrong shape or range, or values that are not finite.
        """
        with ExitStack() as stack:
            noisy, gt = (
                stack.enter_context(open_blocks(path, names, 1 if self._plus else 2))
                for path, names in zip(self._paths, (NOISY_NAMES, GT_NAMES), strict=True)
            )
            if noisy.shape != gt.shape:
                raise InputError(
                    f"{self._paths[0]} has {noisy.shape} blocks, but {self._paths[1]} has {gt.shape}. Give a matching"
                    " pair of files."
                )
            scenes = noisy.shape[0] // PLUS_BLOCKS if self._plus else noisy.shape[0]
            if self._plus and noisy.shape[0] % PLUS_BLOCKS:
                raise InputError(f"{self._paths[0]}: {noisy.shape[0]} blocks is not a multiple of {PLUS_BLOCKS}")
            patterns = self._patterns(scenes)
            per_scene = PLUS_BLOCKS if self._plus else noisy.shape[1]
            self.total = scenes * per_scene
            for scene, (label, pattern) in enumerate(patterns):
                yield from self._scene(noisy, gt, scene, per_scene, label, pattern)

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:  # noqa: ARG002
        """Yield the scores of one block."""
        if case.reference is not None:
            yield Score(case.name, raw_values(restored, case.reference))

    def _patterns(self, scenes: int) -> list[tuple[str, CFAPattern]]:
        """Return group and CFA phase of every scene."""
        if self._scenes is not None:
            known = self._scenes
        elif self._plus:
            known = [(f"picture {index:02d}", pattern) for index, pattern in enumerate(PLUS_PATTERNS)]
        else:
            known = [(f"phone {phone}", PHONE_PATTERNS[phone]) for phone in VALIDATION_PHONES]
        if len(known) != scenes:
            raise InputError(
                f"{self._paths[0]}: there are {scenes} scenes, but rawkd knows the phases of {len(known)}. List the"
                " scenes in a file for --scenes."
            )
        return known

    def _scene(
        self, noisy: Blocks, gt: Blocks, scene: int, count: int, group: str, pattern: CFAPattern
    ) -> Iterator[Case]:
        index = [(scene * count + block,) if self._plus else (scene, block) for block in range(count)]
        pictures = [self._checked(noisy.block(*place), 0, place) for place in index]
        if len({picture.shape for picture in pictures}) != 1:
            raise InputError(f"{self._paths[0]}: the blocks of scene {scene} differ in shape")
        noise = scene_noise(pictures, pattern, f"{self._paths[0]}: scene {scene}")
        for block, (place, picture) in enumerate(zip(index, pictures, strict=True)):
            truth = self._checked(gt.block(*place), 1, place)
            yield Case(
                name=f"scene {scene:02d} block {block:02d}",
                group=group,
                noisy=Mosaic(picture, pattern),
                reference=Mosaic(truth, pattern),
                noise=noise,
            )

    def _checked(self, picture: FloatArray, file: int, place: tuple[int, ...]) -> FloatArray:
        """Return the block; raise an InputError unless it is finite and within 0..1."""
        where = f"{self._paths[file]}: block {place}"
        if not np.isfinite(picture).all():
            raise InputError(f"{where} has values that are not finite. Download the file again.")
        low, high = float(picture.min()), float(picture.max())
        if low < -LARGEST_EXCESS or high > 1 + LARGEST_EXCESS:
            raise InputError(f"{where} ranges from {low:g} to {high:g}, not 0 to 1. Give the file of raw blocks.")
        return picture


def scene_noise(pictures: list[FloatArray], pattern: CFAPattern, where: str) -> NoiseModel:
    """Estimate the noise parameters of all blocks of one capture together.

    Parameters
    ----------
    pictures : (H, W) signal each, of one CFA phase, clipped at 0 by the camera or the set.
    where : file and scene, for the error message.

    Raises
    ------
    NoiseError: if too few blocks can be measured.
    """
    padding = Unification.of((0, 0), pattern)
    parts = []
    for picture in pictures:
        inside = picture[padding.top :, padding.left :]
        parts.append(inside[: inside.shape[0] // 16 * 16, : inside.shape[1] // 16 * 16])
    together = Mosaic(np.ascontiguousarray(np.concatenate(parts)), CFAPattern.RGGB)
    try:
        return estimate_noise(together, saturation=1.0, floor=0.0).model("blind, all blocks of the scene")
    except NoiseError as error:
        raise NoiseError(f"{where}: {error}") from error


def read_scenes(path: Path) -> list[tuple[str, CFAPattern]]:
    """Read group and CFA phase of scenes from a file with one scene per line: its name, and optionally its phase.

    Raises
    ------
    InputError: if the file cannot be read. UsageError: if a line has neither a known phone nor a phase.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of scenes. Check the name.") from error
    scenes = []
    for line in filter(None, (text.strip() for text in lines)):
        name, _, phase = line.partition(" ")
        phone = next((part for part in name.split("_") if part in PHONE_PATTERNS), None)
        phase = phase.strip().upper()
        if phase in {pattern.colours for pattern in BAYER_PHASES}:
            pattern = CFAPattern(phase)
        elif phase or phone is None:
            raise UsageError(f"{path}: {line!r} has neither a phone of SIDD nor a CFA phase. Write NAME PHASE.")
        else:
            pattern = PHONE_PATTERNS[phone]
        scenes.append((name if phone is None else f"phone {phone}", pattern))
    return scenes
