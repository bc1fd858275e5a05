"""The options of a batch, and a fingerprint of everything that its outputs depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rawkd import __version__
from rawkd.errors import NoiseError
from rawkd.inference.students import load_families
from rawkd.process import ProcessOptions

POOLED_SOURCES = frozenset({"auto", "profile", "blind"})
"""Noise sources that depend on the photo; the others give the same noise for all photos of a camera and ISO."""


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch.

    Attributes
    ----------
    process : options for each photo. ending : follows the stem of a photo in the name of its output.
    per_photo_noise : use the noise of each photo instead of its series'.
    idle : names of fields of `process` and `process.denoise` that change nothing with the others as they are.
    """

    process: ProcessOptions = field(default_factory=ProcessOptions)
    ending: str = "-denoised.dng"
    per_photo_noise: bool = False
    idle: frozenset[str] = frozenset()

    @property
    def pools_noise(self) -> bool:
        """Whether the photos of a series share their noise parameters."""
        denoise = self.process.denoise
        settled = denoise.noise is not None or denoise.calibration is not None
        return not (self.per_photo_noise or settled) and denoise.noise_source in POOLED_SOURCES


def fingerprint(options: BatchOptions) -> str:
    """Hexadecimal sha256 of the version, the options that outputs depend on, and the bytes of models and calibration.

    `idle` options count as their defaults, so that another value of them makes no photo new.

    Raises
    ------
    ModelError: if there is no such model. NoiseError: if the calibration file cannot be read.
    """
    process, denoise = options.process, options.process.denoise
    calibration = denoise.calibration
    plain = asdict(replace(process, denoise=replace(denoise, model=None, calibration=None, threads=None)))
    plain.pop("overwrite")
    defaults = asdict(ProcessOptions())
    for group, values in ((plain, defaults), (plain["denoise"], defaults["denoise"])):
        group |= {name: values[name] for name in options.idle & group.keys()}
    content = {
        "version": __version__,
        "process": plain,
        "ending": options.ending,
        "pooled": options.pools_noise,
        "models": [] if denoise.keeps_everything else _model_hashes(options),
        "calibration": None if calibration is None else hashlib.sha256(calibration_bytes(calibration)).hexdigest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _model_hashes(options: BatchOptions) -> list[object]:
    cards = load_families(options.process.denoise.model)
    return [[card.name, card.subrange.low, card.subrange.high, dict(card.files)] for card in cards]


def calibration_bytes(path: Path) -> bytes:
    """The bytes of a calibration file. Raises NoiseError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoiseError(f"{path}: the calibration file cannot be read ({error.strerror})") from error
