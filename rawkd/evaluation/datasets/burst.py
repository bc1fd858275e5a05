"""Score bursts of a still scene from a tripod: one frame against the mean of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rawkd.errors import InputError
from rawkd.evaluation.datasets.case import PHOTO_RULES, Case, Score, raw_values
from rawkd.evaluation.datasets.photos import NoiseChoice, photo_case, raws_in, read_all
from rawkd.evaluation.developed import SRGB_RULE, SrgbScores
from rawkd.photo import Mosaic, RawPhoto

LEAST_FRAMES = 3


class Burst:
    """The bursts of a folder: its raw files, or those of each of its subfolders.

    The first frame by name is the noisy one, and the mean of the other n - 1 is its reference. The reference still has
    1/(n - 1) of the noise variance. Changes of light or position are not corrected.
    """

    name = "burst"

    def __init__(self, folder: Path, choice: NoiseChoice) -> None:
        self._bursts = find_bursts(folder)
        self._choice = choice
        self._srgb = SrgbScores()
        self.total = len(self._bursts)
        self.rules = (
            PHOTO_RULES
            | SRGB_RULE
            | choice.rule
            | {
                "reference": "mean of all frames except the first by name; it has 1/(n - 1) of the noise variance; "
                "changes of light or position are not corrected",
                "saturation": "that of the noisy frame",
            }
        )

    def cases(self) -> Iterator[Case]:
        """Yield one case per burst; only one frame of the reference is in memory at a time."""
        for name, paths in self._bursts.items():
            frames = read_all(paths)
            noisy = next(frames)
            total = np.zeros((noisy.active_area.height, noisy.active_area.width))
            for path, frame in zip(paths[1:], frames, strict=True):
                _check(paths[0], noisy, path, frame)
                total += frame.mosaic.data
            reference = Mosaic((total / (len(paths) - 1)).astype(np.float32), noisy.pattern)
            noise, warnings = self._choice.of(noisy)
            frames_note = f"the reference of {name} is the mean of {len(paths) - 1} frames"
            yield photo_case(noisy, reference, name, "bursts", noise, (frames_note, *noisy.warnings, *warnings))

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:  # noqa: ARG002
        """Yield raw and sRGB scores."""
        if case.reference is not None:
            yield Score(case.name, raw_values(restored, case.reference, of_photo=True) | self._srgb.of(restored, case))


def find_bursts(folder: Path) -> dict[str, list[Path]]:
    """Return the frames of every burst, by name of the burst.

    Raises
    ------
    InputError: if there is no burst, or one has fewer than three frames.
    """
    bursts = {folder.name: raws_in(folder)}
    if not bursts[folder.name]:
        bursts = {part.name: raws_in(part) for part in sorted(folder.iterdir()) if part.is_dir()}
        bursts = {name: frames for name, frames in bursts.items() if frames}
    if not bursts:
        raise InputError(f"{folder}: there are no raw files. Give the folder of a burst, or a folder of such folders.")
    for name, frames in bursts.items():
        if len(frames) < LEAST_FRAMES:
            raise InputError(f"{folder}: the burst {name} has {len(frames)} frames and needs at least {LEAST_FRAMES}")
    return bursts


def _check(first: Path, noisy: RawPhoto, path: Path, frame: RawPhoto) -> None:
    """Raise an InputError if a frame differs from the first in size, CFA phase or exposure."""
    same = (
        (frame.active_area.height, frame.active_area.width) == (noisy.active_area.height, noisy.active_area.width)
        and frame.pattern == noisy.pattern
        and (frame.capture.iso, frame.capture.exposure_s) == (noisy.capture.iso, noisy.capture.exposure_s)
    )
    if not same:
        raise InputError(f"{path}: size, CFA phase, ISO or exposure differ from {first}. Remove it from the burst.")
