"""The report about one processed photo, and the timing of its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawkd.sensor.noise import NoiseModel

STEPS = ("read", "noise", "denoise", "render", "write")


@dataclass(frozen=True, eq=False)
class Report:
    """The result of processing one photo.

    Attributes
    ----------
    width, height : size of the written picture in pixels; for a DNG, of its default crop.
    student, device, precision : model used and how it ran; None if no noise was to be removed.
    seconds : wall time of each step.
    defects : number of replaced hot and dead pixels; of a crop, also in the surroundings that it is computed from.
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
        """Return the report as JSON values."""
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
            "defects": self.defects,
            "seconds": {step: round(value, 4) for step, value in self.seconds.items()},
            "warnings": list(self.warnings),
        }


def replaced_pixels(number: int) -> str:
    """Return a part of a summary that tells the number of replaced hot and dead pixels, or an empty text for none."""
    return f"{number} hot or dead pixel{'' if number == 1 else 's'} replaced" if number else ""


def summary(record: Mapping[str, Any]) -> str:
    """Return one line about how a photo was denoised, from `Report.record`: noise, network, replaced pixels, time."""
    noise = record["noise"]
    parts = (
        "noise unknown" if noise["gain"] is None else f"gain {noise['gain']:.2g} ({noise['source']})",
        "nothing removed"
        if record["student"] is None
        else f"{record['student']} on {record['device']} {record['precision']}",
        replaced_pixels(record["defects"]),
        f"{record['seconds']['total']:.1f} s",
    )
    return ", ".join(filter(None, parts))


class Clock:
    """Measures the wall time of the named steps of one photo."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._seconds = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the wall time of the with-block to the step `name`."""
        begin = time.perf_counter()
        yield
        self._seconds[name] += time.perf_counter() - begin

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every step (0 if it did not run), and as "total" those since the clock was created."""
        return self._seconds | {"total": time.perf_counter() - self._begin}


def shutter(exposure_s: float) -> str:
    """Return an exposure time as photographers write it: 1/100 s, 2.5 s."""
    return f"{exposure_s:.3g} s" if exposure_s >= 0.3 else f"1/{1 / exposure_s:.0f} s"
