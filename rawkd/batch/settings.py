"""The options of a batch, and everything that its outputs depend on as plain values, which records keep."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rawkd import __version__
from rawkd.errors import NoiseError
from rawkd.inference.students import load_families
from rawkd.process import ProcessOptions

POOLED_SOURCES = frozenset({"auto", "profile", "blind"})
"""Noise sources that depend on the photo; the others give the same noise for all photos of a camera and ISO."""


Settings = dict[str, Any]
"""What outputs depend on, see `settings_of`."""
FREE = frozenset({"model", "calibration", "device", "precision", "threads", "overwrite"})
"""Names of options that make no photo new; model and calibration count by their bytes."""


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch.

    Attributes
    ----------
    process : options for each photo. ending : follows the stem of a photo in the name of its output.
    per_photo_noise : use the noise of each photo instead of its series'.
    keep_existing : leave every output that exists as it is, whatever made it.
    idle : names of fields of `process` and `process.denoise` that change nothing with the others as they are.
    """

    process: ProcessOptions = field(default_factory=ProcessOptions)
    ending: str = "-denoised.dng"
    per_photo_noise: bool = False
    keep_existing: bool = False
    idle: frozenset[str] = frozenset()

    @property
    def pools_noise(self) -> bool:
        """Whether the photos of a series share their noise parameters."""
        denoise = self.process.denoise
        settled = denoise.noise is not None or denoise.calibration is not None
        return not (self.per_photo_noise or settled) and denoise.noise_source in POOLED_SOURCES


def settings_of(options: BatchOptions) -> Settings:
    """The version, the options that outputs depend on, and hashes of models and calibration, as plain values of JSON.

    `idle` options count as their defaults, so that another value of them makes no photo new. Device and precision do
    not count: one is used only where it costs less than 0.05 dB.

    Raises
    ------
    ModelError: if there is no such model. NoiseError: if the calibration file cannot be read.
    """
    process, denoise = options.process, options.process.denoise
    calibration = denoise.calibration
    plain = asdict(replace(process, denoise=replace(denoise, model=None, calibration=None)))
    defaults = asdict(ProcessOptions())
    for group, values in ((plain, defaults), (plain["denoise"], defaults["denoise"])):
        group |= {name: values[name] for name in options.idle & group.keys()}
    plain |= plain.pop("denoise")
    content = {
        "version": __version__,
        "options": {name: value for name, value in plain.items() if name not in FREE},
        "ending": options.ending,
        "pooled": options.pools_noise,
        "models": [] if denoise.keeps_everything else _model_hashes(options),
        "calibration": None if calibration is None else hashlib.sha256(calibration_bytes(calibration)).hexdigest(),
    }
    plain_values: Settings = json.loads(json.dumps(content))  # lists for pairs, as they come back from a file
    return plain_values


def fingerprint(settings: Settings) -> str:
    """Hexadecimal sha256 of settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def changes(before: Settings, now: Settings) -> tuple[str, ...]:
    """What differs between two settings, in words: "strength 1.0, now 0.5"."""
    if not (isinstance(before.get("options"), dict) and isinstance(now.get("options"), dict)):
        return ("unknown settings",)
    told = [
        {"rawkd": one.get("version"), **one["options"], "noise of series": one.get("pooled")} for one in (before, now)
    ]
    old, new = told
    found = [
        f"{name} {_word(old.get(name))}, now {_word(new.get(name))}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    names = {"ending": "another ending", "models": "other models", "calibration": "another calibration file"}
    return (*found, *(text for name, text in names.items() if before.get(name) != now.get(name)))


def _word(value: object) -> str:
    """A value of JSON as a word."""
    if isinstance(value, bool) or value is None:
        return {True: "on", False: "off", None: "none"}[value]
    return str(value)


def _model_hashes(options: BatchOptions) -> list[object]:
    cards = load_families(options.process.denoise.model)
    return [[card.name, card.subrange.low, card.subrange.high, dict(card.files)] for card in cards]


def calibration_bytes(path: Path) -> bytes:
    """The bytes of a calibration file. Raises NoiseError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoiseError(f"{path}: the calibration file cannot be read ({error.strerror})") from error
