"""One noise for a whole series: photos of one camera, ISO and bit depth differ in what they show, not in their noise.

So that neighbours get the same student and strength, up to `SAMPLES` photos of a series are measured, and what they say
is pooled. Which ones is a matter of their names alone, so the pool does not depend on the order of work; it is written
down before the first photo of the series is denoised, and stays when the run is resumed or photos come later.

Rather a sample that is read twice than all of them: eight estimates determine a series better than its cameras differ
from each other, and a long series then costs less than single calls, which estimate the noise of every photo.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rawkd.batch.store import OWN_FOLDER, Store
from rawkd.batch.task import Task
from rawkd.errors import NoiseError
from rawkd.files.read.identify import Identity
from rawkd.sensor.noise import NoiseModel

SAMPLES = 8
"""Photos of a series that are measured (our choice)."""
MIDDLE_SIGNAL = 0.1
"""Signal where the estimates of a series are compared: a middle grey."""
SPREAD = 1.5
"""Factor from the median variance beyond which an estimate is put down to texture and left out (our choice)."""
LEAST_WEIGHT = 0.05
"""Weight of an estimate of no confidence, so that a series of such ones has a pool too."""
GUESSED = "iso"
"""The source of noise parameters that no pixel and no tag supports."""


@dataclass(frozen=True)
class Series:
    """What photos of one series have in common; ISO is known."""

    make: str
    model: str
    iso: float
    bits: int

    @classmethod
    def of(cls, identity: Identity) -> Series | None:
        """The series of a photo; None where the file does not say its ISO or its camera, for unknown is never equal."""
        if identity.iso is None or not (identity.make or identity.model):
            return None
        return cls(identity.make, identity.model, identity.iso, identity.bits)

    def __str__(self) -> str:
        name = self.model if self.model.startswith(self.make) else f"{self.make} {self.model}".strip()
        return f"{name}, ISO {self.iso:g}" + (f", {self.bits} bits" if self.bits else "")


@dataclass(frozen=True, eq=False)
class PooledNoise:
    """The noise of a series.

    Attributes
    ----------
    noise : what every photo of it is denoised with. measured : names of the photos that were measured.
    used : how many of them agree. warnings : what was remarkable about them, each sentence once.
    """

    noise: NoiseModel
    measured: tuple[str, ...]
    used: int
    warnings: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """All of it in plain values."""
        return {
            "gain": self.noise.gain.tolist(),
            "read_variance": self.noise.read_variance.tolist(),
            "source": self.noise.source,
            "confidence": self.noise.confidence,
            "measured": list(self.measured),
            "used": self.used,
            "warnings": list(self.warnings),
        }

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> PooledNoise:
        """Undo `record`. Raises KeyError, TypeError, ValueError or NoiseError for what is none."""
        gain, read = (np.array(record[name], np.float64) for name in ("gain", "read_variance"))
        noise = NoiseModel(gain, read, str(record["source"]), float(record["confidence"]))
        return cls(noise, tuple(record["measured"]), int(record["used"]), tuple(record["warnings"]))


def sampling_order(tasks: Sequence[Task]) -> list[Task]:
    """Photos in the order in which they are measured: that of a hash of their names, so spread over the series."""
    return sorted(tasks, key=lambda task: task.key)


def pool_noise(models: Sequence[NoiseModel]) -> tuple[NoiseModel, int]:
    """The noise that photos of one series share, and how many of them support it.

    The mean of the variance lines, weighted by confidence, of those within a factor 1.5 of the weighted median at a
    middle grey. The lower median, since texture only adds; sources that are no measurement only count where there is
    no other (our choice). The order of `models` does not matter, to the last bit.

    Raises
    ------
    NoiseError: if there are none.
    """
    if not models:
        raise NoiseError("no photo of the series tells its noise: give it with --noise A,B")
    known = [model for model in models if model.source != GUESSED] or list(models)
    weights = [max(model.confidence, LEAST_WEIGHT) for model in known]
    levels = [model.green_gain * MIDDLE_SIGNAL + model.green_read_variance for model in known]
    middle = _lower_median(levels, weights)
    near = [
        (model, weight)
        for model, weight, level in zip(known, weights, levels, strict=True)
        if middle / SPREAD <= level <= middle * SPREAD
    ]
    total = math.fsum(weight for _, weight in near)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(weight * value for (_, weight), value in zip(near, values, strict=True)) / total

    gain = np.array([mean([float(model.gain[plane]) for model, _ in near]) for plane in range(4)])
    read = np.array([mean([float(model.read_variance[plane]) for model, _ in near]) for plane in range(4)])
    counted = Counter(model.source for model, _ in near)
    source = min(counted, key=lambda name: (-counted[name], name))
    if source != GUESSED:
        source = f"{source}, pooled over {len(near)}"
    return NoiseModel(gain, read, source, mean([model.confidence for model, _ in near])), len(near)


def _lower_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The least value with at least half of the weight at or below it."""
    half = math.fsum(weights) / 2
    pairs = sorted(zip(values, weights, strict=True))
    for index, (value, _) in enumerate(pairs):
        if math.fsum(weight for _, weight in pairs[: index + 1]) >= half:
            return value
    return pairs[-1][0]


def load_pool(store: Store, series: Series, settings: str) -> PooledNoise | None:
    """The pool that an earlier run wrote down; None where there is none that can be read."""
    data = store.read(_name(series, settings))
    try:
        return None if data is None else PooledNoise.of_record(json.loads(data)["noise"])
    except (ValueError, KeyError, TypeError, NoiseError):
        return None


def save_pool(store: Store, series: Series, settings: str, pool: PooledNoise) -> None:
    """Write the pool of a series down. Raises OutputError."""
    text = json.dumps({"series": asdict(series), "noise": pool.record()}, indent=1)
    store.write(_name(series, settings), text.encode())


def _name(series: Series, settings: str) -> str:
    text = json.dumps([asdict(series), settings], sort_keys=True)
    return f"{OWN_FOLDER}/series/{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
