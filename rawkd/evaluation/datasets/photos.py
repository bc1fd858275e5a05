"""Raw files as cases: which files a folder holds, and what is known about the noise of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rawkd.errors import InputError
from rawkd.evaluation.datasets.case import Case
from rawkd.files.naming import RAW_SUFFIXES
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.photo import Mosaic, RawPhoto
from rawkd.render.color import ProcessMetadata
from rawkd.restore.options import DenoiseOptions
from rawkd.restore.pipeline import prepare
from rawkd.sensor.noise import NoiseModel


@dataclass(frozen=True)
class NoiseChoice:
    """How the noise of raw files is found: the options of `rawkd denoise`."""

    source: str = "auto"
    given: tuple[float, float] | None = None
    calibration: Path | None = None

    def of(self, photo: RawPhoto) -> tuple[NoiseModel, tuple[str, ...]]:
        """As `rawkd denoise` would find it."""
        options = DenoiseOptions(noise=self.given, noise_source=self.source, calibration=self.calibration)
        prepared = prepare(photo, options)
        return prepared.noise, prepared.noise_warnings

    @property
    def rule(self) -> dict[str, str]:
        """The rule for the output."""
        if self.given is not None:
            return {"noise": f"given: gain {self.given[0]:g}, read variance {self.given[1]:g}"}
        return {"noise": f"of each noisy file, source {self.source}, as rawkd denoise finds it"}


def raws_in(folder: Path) -> list[Path]:
    """Raw files right in a folder, by name.

    Raises
    ------
    InputError: if it is no folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name the folder of the data set")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in RAW_SUFFIXES and path.is_file())


def by_stem(paths: list[Path], folder: Path) -> dict[str, Path]:
    """Files by their names without suffix.

    Raises
    ------
    InputError: if two files have one.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise InputError(f"{folder} holds {named[path.stem].name} and {path.name}: which of them is meant?")
        named[path.stem] = path
    return named


def photo_case(
    photo: RawPhoto, reference: Mosaic, name: str, group: str, noise: NoiseModel, warnings: tuple[str, ...]
) -> Case:
    """A case of a noisy raw file and its truth."""
    return Case(
        name=name,
        group=group,
        noisy=photo.mosaic,
        reference=reference,
        noise=noise,
        saturation=photo.levels.saturation,
        floor=photo.levels.floor,
        color=ProcessMetadata.of(photo.color),
        photo=photo,
        warnings=warnings,
    )


def read_all(paths: list[Path]) -> Iterator[RawPhoto]:
    """Raw files one after the other, with one decoder."""
    with Decoder() as decoder:
        for path in paths:
            yield read_raw(path, decoder=decoder)
