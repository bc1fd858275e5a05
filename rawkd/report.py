"""What was done to one photo, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rawkd.photo import Capture
from rawkd.sensor.noise import NoiseModel

STEPS = ("read", "noise", "denoise", "render", "write")


@dataclass(frozen=True, eq=False)
class Report:
    """What was done to one photo.

    Attributes
    ----------
    width, height : of the written picture: of a DNG its default crop, of a rendered one its pixels.
    student, device, precision : None where nothing was to be removed. seconds : wall time of each step.
    defects : number of hot and dead pixels that were replaced; the record says it in its warnings.
    """

    input: Path
    output: Path
    camera: str
    iso: float | None
    cfa: str
    width: int
    height: int
    noise: NoiseModel
    student: str | None
    ensemble: int
    device: str | None
    precision: str | None
    seconds: dict[str, float]
    warnings: tuple[str, ...]
    defects: int = 0

    def record(self) -> dict[str, object]:
        """The report in plain values, as it stands in JSON."""
        return {
            "input": str(self.input),
            "output": str(self.output),
            "camera": self.camera,
            "iso": self.iso,
            "cfa": self.cfa,
            "width": self.width,
            "height": self.height,
            "noise": {
                "gain": self.noise.green_gain if self.noise.known else None,
                "read_variance": self.noise.green_read_variance if self.noise.known else None,
                "source": self.noise.source,
                "confidence": self.noise.confidence,
            },
            "student": self.student,
            "ensemble": self.ensemble,
            "device": self.device,
            "precision": self.precision,
            "seconds": {step: round(value, 4) for step, value in self.seconds.items()},
            "warnings": list(self.warnings),
        }


def camera_name(capture: Capture) -> str:
    """Return make and model, without the make where the model begins with a word of it.

    UniqueCameraModel (tag 50708) where the file holds neither; empty where it holds none of the three.
    """
    make, model = capture.make.split(), capture.model.split()
    if model and model[0].lower() in [word.lower() for word in make]:
        make = []
    return " ".join(make + model) or " ".join(capture.unique_camera_model.split())


class Clock:
    """Wall time of the named steps of one photo."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._seconds = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block as the step `name`."""
        begin = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - begin

    def seconds(self) -> dict[str, float]:
        """Seconds of every step, zero for what was not done, and of everything since the clock was made."""
        return self._seconds | {"total": time.perf_counter() - self._begin}
