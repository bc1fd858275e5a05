"""Score other programs: write the noisy photos of a benchmark, and read what a program made of them.

Both sides are named after the case: `kodim01-gain-0.0003.dng`, `kodim01-gain-0.0003.truth.npy`. `cases.json` states the
options that made the cases; beside the results it proves that they are scored with the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from rawkd.errors import InputError
from rawkd.evaluation.datasets.case import Benchmark, Case
from rawkd.files.naming import make_folder, refuse_to_overwrite
from rawkd.files.read.raw import read_raw
from rawkd.files.write.atomic import atomic_output
from rawkd.files.write.dng import write_dng
from rawkd.photo import Mosaic
from rawkd.process import SOFTWARE

STORED = "results:"
"""Beginning of the name of a method whose results lie in a folder."""
TRUTH = ".truth.npy"
ARRAY, DNG = ".npy", ".dng"
"""Suffixes of results: signal as a numpy array, or a DNG."""

OPTIONS = "cases.json"
"""File with the options that made the cases (`Case.made_with`)."""


def file_stem(case: Case) -> str:
    """Return the name of the files of a case: its name without the suffix of a picture, without spaces and slashes."""
    named = re.sub(r"\.(png|jpe?g|tiff?|dng)\b", "", case.name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.+-]+", "-", named)


def write_cases(benchmark: Benchmark, folder: Path, *, overwrite: bool, limit: int | None = None) -> Iterator[Path]:
    """Write the noisy photo of every case as a DNG, and its truth as an array; yield the DNGs.

    The truth is (H, W) float32 signal: 0 is black, 1 is white. `cases.json` has the options that made the noise.

    Parameters
    ----------
    limit : number of cases after which to stop; None for all.

    Raises
    ------
    OutputError: if a file exists and `overwrite` is not set, or cannot be written.
    InputError: if two cases would have one name.
    """
    make_folder(f"{folder}/")
    written: set[Path] = set()
    for case in islice(benchmark.cases(), limit):
        path = folder / f"{file_stem(case)}{DNG}"
        if path in written:
            raise InputError(f"{case.name}: another picture has this name without its suffix. Rename one.")
        if not written:
            with atomic_output(folder / OPTIONS, overwrite) as temporary:
                temporary.write_text(json.dumps(case.made_with, indent=1) + "\n", encoding="utf-8")
        written.add(path)
        if case.photo is None or case.reference is None:
            continue
        truth = path.with_name(path.stem + TRUTH)
        refuse_to_overwrite(truth, overwrite=overwrite)
        write_dng(
            path,
            case.photo,
            preview=None,
            overwrite=overwrite,
            software=f"{SOFTWARE} bench",
            noise_profile=case.photo.noise_profile,
        )
        with atomic_output(truth, overwrite) as temporary, temporary.open("wb") as stream:
            np.save(stream, case.reference.data)
        yield path


class StoredResults:
    """What another program made of the noisy photos: `STEM.dng`, or `STEM.npy` with the signal, for every case.

    Time is not measured. The program gets no noise parameters, so it has no row with the true ones.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: this is not a folder. Give the folder of results as results:DIR.")
        if any(folder.glob(f"*{TRUTH}")):
            raise InputError(
                f"{folder}: these are cases, noisy photos with their truth, and no results. Give the folder that your"
                " program wrote to."
            )
        self.name = f"{STORED}{folder.resolve().name}"
        self._folder = folder
        self._options = _options(folder / OPTIONS)
        self._read: tuple[str, Mosaic] | None = None

    def prepare(self, case: Case) -> tuple[str, ...]:
        """Read the result of a case; InputError if there is none, or the case was made with other options."""
        for name, value in self._options.items():
            if value != (now := case.made_with.get(name)):
                raise InputError(
                    f"{self._folder / OPTIONS}: the cases were written with {name} {json.dumps(value)}, and these have"
                    f" {json.dumps(now)}. Give the options that the cases were written with."
                )
        stem = file_stem(case)
        array, photo = (self._folder / f"{stem}{suffix}" for suffix in (ARRAY, DNG))
        if array.is_file():
            result = Mosaic(_signal(array, case), case.noisy.pattern)
        elif photo.is_file():
            result = read_raw(photo).mosaic
            found, expected = (f"a {one.pattern.name} mosaic of {one.data.shape}" for one in (result, case.noisy))
            if found != expected:
                raise InputError(f"{photo}: {found}, but {case.name} is {expected}. Keep size and phase.")
        else:
            raise InputError(
                f"{self._folder}: there is no {array.name} or {photo.name}, the result of {case.name}. Add it, or give"
                " the options that the cases were written with."
            )
        self._read = case.name, result
        return ()

    def restore(self, case: Case) -> Mosaic:
        """Return the result that was read."""
        if self._read is None or self._read[0] != case.name:
            raise ValueError("call prepare first")
        return self._read[1]

    def describe(self) -> dict[str, object]:
        """Name of the folder."""
        return {"name": self.name, "kind": "stored results"}


def _options(path: Path) -> dict[str, object]:
    """Return the options in a `cases.json`; {} if there is none. InputError if it is damaged."""
    if not path.is_file():
        return {}
    try:
        options = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Copy it again from the folder of the cases.") from error
    if not isinstance(options, dict):
        raise InputError(f"{path}: not the options of cases. Copy it again from the folder of the cases.")
    return options


def _signal(path: Path, case: Case) -> np.ndarray:
    """Return the array of a result, float32; InputError if it is not one of the case's shape, or not finite."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a numpy array ({error}). Write it with numpy.save.") from error
    if values.shape != case.noisy.data.shape or values.dtype.kind != "f":
        raise InputError(
            f"{path}: has {values.dtype} of {values.shape}, and {case.name} needs floats of {case.noisy.data.shape}:"
            " signal, 0 for black and 1 for white"
        )
    with np.errstate(over="ignore"):
        signal = np.asarray(values, np.float32)
    if not np.isfinite(signal).all():
        raise InputError(f"{path}: has values that are NaN or infinite. Write finite signal, 0 for black, 1 for white.")
    return signal
