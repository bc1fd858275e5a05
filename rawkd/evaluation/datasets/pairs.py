"""Score noisy raw files against clean ones of the same scene, paired by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rawkd.errors import InputError
from rawkd.evaluation.datasets.case import PHOTO_RULES, Case, Score, raw_values
from rawkd.evaluation.datasets.photos import NoiseChoice, by_stem, photo_case, raws_in, read_all
from rawkd.evaluation.developed import SRGB_RULE, SrgbScores
from rawkd.photo import Mosaic

SUFFIXES = "-noisy", "-clean"


class Pairs:
    """The pairs of a folder: noisy/X.dng with clean/X.dng, or X-noisy.dng with X-clean.dng; any raw format.

    Parameters
    ----------
    folder : folder of the pairs. choice : how the noise parameters of the noisy files are found.
    """

    name = "pairs"

    def __init__(self, folder: Path, choice: NoiseChoice) -> None:
        self._pairs = find_pairs(folder)
        self._choice = choice
        self._srgb = SrgbScores()
        self.total = len(self._pairs)
        self.rules = PHOTO_RULES | SRGB_RULE | choice.rule | {"saturation": "that of each noisy file"}

    def cases(self) -> Iterator[Case]:
        """Yield one case per pair, sorted by name."""
        files = read_all([path for pair in self._pairs.values() for path in pair])
        for name, photo in zip(self._pairs, files, strict=False):
            clean = next(files)
            noise, warnings = self._choice.of(photo)
            yield photo_case(photo, clean.mosaic, name, "pairs", noise, photo.warnings + warnings)

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:  # noqa: ARG002
        """Yield raw and sRGB scores; both sides use the colour data of the noisy file."""
        if case.reference is not None:
            yield Score(case.name, raw_values(restored, case.reference, of_photo=True) | self._srgb.of(restored, case))


def find_pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the noisy and the clean file of each pair, by name.

    Raises
    ------
    InputError: if a file has no partner, or there is no pair.
    """
    folders = tuple(folder / suffix.removeprefix("-") for suffix in SUFFIXES)
    if all(part.is_dir() for part in folders):
        noisy, clean = (by_stem(raws_in(part), part) for part in folders)
    else:
        files = by_stem(raws_in(folder), folder)
        noisy, clean = (
            {stem.removesuffix(suffix): path for stem, path in files.items() if stem.endswith(suffix)}
            for suffix in SUFFIXES
        )
    if alone := sorted(noisy.keys() ^ clean.keys()):
        have = noisy if alone[0] in noisy else clean
        raise InputError(
            f"{have[alone[0]]}: it has no partner ({len(alone)} files have none). Add the partner or remove the file."
        )
    if not noisy:
        raise InputError(
            f"{folder}: there are no pairs. Name the files X-noisy.dng and X-clean.dng, or use folders noisy and clean."
        )
    return {name: (noisy[name], clean[name]) for name in sorted(noisy)}
