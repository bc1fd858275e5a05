"""What a series shares: photos of one camera, ISO, bit depth and CFA differ in content, not in noise and defects.

Up to `SAMPLES` photos of a series are measured and their estimates pooled, so that all photos of the series get the
same student and strength. They also show the camera's hot and dead pixels, which are at the same places in all of them
(`sensor.blind.recurring`). The names alone choose the photos, so the pool does not depend on the order of work. It is
saved before the first photo of the series is denoised, and used again when the run is resumed or photos are added.

Measuring a sample means reading these photos twice. Eight estimates are more accurate than cameras of one model are
alike, and a long series takes less time than one estimate for every photo.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rawkd.batch.store import OWN_FOLDER, Store
from rawkd.batch.task import Task
from rawkd.errors import InputError, NoiseError
from rawkd.files.read.identify import Identity
from rawkd.photo import Capture, camera_name
from rawkd.sensor.blind.recurring import Suspects, recurring_defects
from rawkd.sensor.defects import DefectMap
from rawkd.sensor.noise import NoiseModel

SAMPLES = 8
"""Photos of a series that are measured (our choice)."""
MIDDLE_SIGNAL = 0.1
"""Signal at which the estimates of a series are compared: a middle grey."""
SPREAD = 1.5
"""Factor from the median variance beyond which an estimate is left out as texture (our choice)."""
LEAST_WEIGHT = 0.05
"""Least weight of an estimate, so that a series of estimates without confidence still has a pool."""
GUESSED = "iso"
"""The source of noise parameters that are guessed from the ISO alone."""


Camera = tuple[str, str, str]
"""Root of the outputs, make and model."""


@dataclass(frozen=True)
class Series:
    """Camera, ISO, bit depth and `Identity.cfa` that the photos of a series share."""

    make: str
    model: str
    iso: float
    bits: int
    cfa: str = ""

    @classmethod
    def of(cls, identity: Identity) -> Series | None:
        """The series of a photo; None if its ISO or camera is unknown, since unknown is never equal."""
        if identity.iso is None or not (identity.make or identity.model):
            return None
        return cls(identity.make, identity.model, identity.iso, identity.bits, identity.cfa)

    def __str__(self) -> str:
        name = camera_name(Capture(self.make, self.model))
        bits, cfa = f", {self.bits} bits" if self.bits else "", f", {self.cfa}" if self.cfa else ""
        return f"{name}, ISO {self.iso:g}{bits}{cfa}"


@dataclass(frozen=True, eq=False)
class SeriesPool:
    """The noise of a series, and its defects.

    Attributes
    ----------
    noise : for every photo of the series. measured : names of the photos that were measured.
    used : number of estimates that agree and were averaged. warnings : of the estimates, each sentence once.
    defects : maps of the hot and dead pixels that several photos of the camera show, one for each frame size.
    """

    noise: NoiseModel
    measured: tuple[str, ...]
    used: int
    warnings: tuple[str, ...] = ()
    defects: tuple[DefectMap, ...] = ()

    @classmethod
    def of(
        cls, measured: Sequence[tuple[str, NoiseModel, tuple[str, ...]]], defects: tuple[DefectMap, ...]
    ) -> SeriesPool | None:
        """The pool of measured photos, each with name, noise and warnings; None if there are none."""
        if not measured:
            return None
        noise, used = pool_noise([model for _, model, _ in measured])
        warnings = sorted({warning for _, _, of_photo in measured for warning in of_photo})
        return cls(noise, tuple(sorted(name for name, _, _ in measured)), used, tuple(warnings), defects)

    @property
    def number_of_defects(self) -> int:
        """Number of hot and dead pixels that several photos show."""
        return sum(len(one.pixels) for one in self.defects)

    def record(self) -> dict[str, Any]:
        """The pool as plain values, for JSON."""
        return {
            "gain": self.noise.gain.tolist(),
            "read_variance": self.noise.read_variance.tolist(),
            "source": self.noise.source,
            "confidence": self.noise.confidence,
            "measured": list(self.measured),
            "used": self.used,
            "warnings": list(self.warnings),
            "defects": [one.record() for one in self.defects],
        }

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> SeriesPool:
        """The pool of a `record`. Raises KeyError, TypeError, ValueError, NoiseError or InputError if it is damaged."""
        gain, read = (np.array(record[name], np.float64) for name in ("gain", "read_variance"))
        noise = NoiseModel(gain, read, str(record["source"]), float(record["confidence"]))
        defects = tuple(DefectMap.of_record(one) for one in record["defects"])
        return cls(noise, tuple(record["measured"]), int(record["used"]), tuple(record["warnings"]), defects)


def sampling_order(tasks: Sequence[Task]) -> list[Task]:
    """Photos in the order of measuring: by a hash of their names, which spreads them over the series."""
    return sorted(tasks, key=lambda task: task.key)


def pool_noise(models: Sequence[NoiseModel]) -> tuple[NoiseModel, int]:
    """The pooled noise of one series, and the number of estimates it averages.

    It is the mean, weighted by confidence, of the variance lines that at a middle grey are within a factor of 1.5 of
    the weighted median in every noise class, or of the nearest if there are none. The median is the lower one, since
    texture only adds variance; guesses count only if there is nothing else (our choice). Estimates of another kind of
    CFA than most have are left out. The result does not depend on the order of `models`, to the last bit.

    Raises
    ------
    NoiseError: if there are none.
    """
    if not models:
        raise NoiseError("the noise of no photo of the series can be measured: give it with --noise A,B")
    counts = Counter(len(model.gain) for model in models)
    count = max(counts, key=lambda each: (counts[each], each))
    alike = [model for model in models if len(model.gain) == count]
    known = [model for model in alike if model.source != GUESSED] or alike
    weights = [max(model.confidence, LEAST_WEIGHT) for model in known]
    levels = np.array([model.gain * MIDDLE_SIGNAL + model.read_variance for model in known])
    middle = np.array([_lower_median(levels[:, each].tolist(), weights) for each in range(count)])
    apart = np.abs(np.log(levels / middle)).max(axis=1)
    agree = apart <= max(math.log(SPREAD), apart.min())
    near = [(model, weight) for model, weight, kept in zip(known, weights, agree, strict=True) if kept]
    total = math.fsum(weight for _, weight in near)

    def mean(values: Sequence[float]) -> float:
        return math.fsum(weight * value for (_, weight), value in zip(near, values, strict=True)) / total

    gain = np.array([mean([float(model.gain[each]) for model, _ in near]) for each in range(count)])
    read = np.array([mean([float(model.read_variance[each]) for model, _ in near]) for each in range(count)])
    counted = Counter(model.source for model, _ in near)
    source = min(counted, key=lambda name: (-counted[name], name))
    if source != GUESSED:
        source = f"{source}, mean of {len(near)} photos" if len(near) > 1 else f"{source}, of 1 photo"
    return NoiseModel(gain, read, source, mean([model.confidence for model, _ in near])), len(near)


def defects_of_cameras(
    photos: Iterable[tuple[Camera, Suspects | None]],
) -> dict[Camera, tuple[DefectMap, ...]]:
    """The defects of each camera, which all its series show together."""
    suspects: dict[Camera, list[Suspects]] = {}
    for camera, found in photos:
        if found is not None:
            suspects.setdefault(camera, []).append(found)
    return {camera: recurring_defects(found) for camera, found in suspects.items()}


def _lower_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The least value with at least half of the weight at or below it."""
    half = math.fsum(weights) / 2
    pairs = sorted(zip(values, weights, strict=True))
    for index, (value, _) in enumerate(pairs):
        if math.fsum(weight for _, weight in pairs[: index + 1]) >= half:
            return value
    return pairs[-1][0]


def unsaid(_sentence: str) -> None:
    """Ignore a warning."""


def load_pool(store: Store, series: Series, settings: str, warn: Callable[[str], None] = unsaid) -> SeriesPool | None:
    """Return the pool that an earlier run saved; None if it is missing, or damaged, with a warning to `warn`."""
    name = _name(series, settings)
    data = store.read(name)
    try:
        return None if data is None else SeriesPool.of_record(json.loads(data)["noise"])
    except (ValueError, KeyError, TypeError, AttributeError, NoiseError, InputError):
        text = f"the file is damaged, so the noise of {series} is measured again and may differ from that of photos"
        warn(f"{store.shown(name)}: {text} that are done. To give all the same, repeat those.")
        return None


def save_pool(store: Store, series: Series, settings: str, pool: SeriesPool) -> None:
    """Save the pool of a series. Raises OutputError."""
    text = json.dumps({"series": asdict(series), "noise": pool.record()}, indent=1)
    store.write(_name(series, settings), text.encode())


def _name(series: Series, settings: str) -> str:
    text = json.dumps([asdict(series), settings], sort_keys=True)
    return f"{OWN_FOLDER}/series/{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
