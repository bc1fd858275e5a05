"""Make benchmark cases from raw files: find the files of a folder, and the noise parameters of each."""

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
    """The noise options of `rawkd denoise`, for raw files of a benchmark."""

    source: str = "auto"
    given: tuple[float, float] | None = None
    calibration: Path | None = None

    def of(self, photo: RawPhoto) -> tuple[NoiseModel, tuple[str, ...]]:
        """Return the noise parameters and warnings of a photo, as `rawkd denoise` finds them."""
        options = DenoiseOptions(noise=self.given, noise_source=self.source, calibration=self.calibration)
        prepared = prepare(photo, options)
        return prepared.noise, prepared.noise_warnings

    @property
    def rule(self) -> dict[str, str]:
        """The entry for `Benchmark.rules`."""
        if self.given is not None:
            return {"noise": f"given: gain {self.given[0]:g}, read variance {self.given[1]:g}"}
        return {"noise": f"parameters of each noisy file as in rawkd denoise, source {self.source}"}


def raws_in(folder: Path) -> list[Path]:
    """Return the raw files of a folder, not of its subfolders, sorted by name.

    Raises
    ------
    InputError: if it is not a folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: this is not a folder. Give the folder of the data set.")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in RAW_SUFFIXES and path.is_file())


def by_stem(paths: list[Path], folder: Path) -> dict[str, Path]:
    """Return the files by their names without suffix.

    Raises
    ------
    InputError: if two files have the same name without suffix.
    """
    named: dict[str, Path] = {}
    for path in paths:
        if path.stem in named:
            raise InputError(f"{folder}: {named[path.stem].name} and {path.name} have the same stem. Remove one.")
        named[path.stem] = path
    return named


def photo_case(
    photo: RawPhoto, reference: Mosaic, name: str, group: str, noise: NoiseModel, warnings: tuple[str, ...]
) -> Case:
    """Return the case of a noisy raw file and its reference."""
    return Case(
        name=name,
        group=group,
        noisy=photo.mosaic,
        reference=reference,
        noise=noise,
        saturation=photo.levels.site_saturation,
        floor=photo.levels.floor,
        color=ProcessMetadata.of(photo.color),
        photo=photo,
        warnings=warnings,
    )


def read_all(paths: list[Path]) -> Iterator[RawPhoto]:
    """Read raw files one after another with one decoder."""
    with Decoder() as decoder:
        for path in paths:
            yield read_raw(path, decoder=decoder)
