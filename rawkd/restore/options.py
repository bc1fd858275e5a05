"""Options that change pixel values."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from rawkd.errors import UsageError, refuse_other_type
from rawkd.inference.gpu.ways import DEVICES
from rawkd.sensor.cfa import SYMMETRIES
from rawkd.sensor.choose_noise import SOURCES
from rawkd.sensor.defects import DEFECTS
from rawkd.sensor.noise import NOISE_LIMITS, NoiseModel, is_possible


@dataclass(frozen=True)
class DenoiseOptions:
    """Options that change pixel values.

    Attributes
    ----------
    strength : 0..1, fraction of the noise that is removed; 0 returns the input's pixels bit for bit.
    luma, chroma : 0..1, scale the luma and the chroma part of the removed noise.
    ensemble : 1, 2, 4 or 8, number of symmetries of the mosaic that are averaged; docs/accuracy.md explains the
        default 1.
    noise : (gain, read variance) in signal units if the user gives them, else None.
    noise_source : auto | calibration | profile | blind | iso. calibration : a camera's calibration file, or None; text
        becomes a path.
    model : a tier, the name of a shipped family or model, or a directory; None for the default tier.
    device : auto | cpu | gpu | cuda | mps. threads : CPU threads, None for all.
    precision : f32 | bf16 | fp16 | int8 | int8+bf16 | int7; None for what the card allows there at the photo's gain.
    defects : auto | map. `map` replaces hot and dead pixels listed in the file or the calibration; `auto` also searches
        the photo for others.
    rows : whether to remove the offset of each row where masked pixels show it.
    """

    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    ensemble: int = 1
    noise: tuple[float, float] | None = None
    noise_source: str = "auto"
    calibration: Path | None = None
    model: str | Path | None = None
    device: str = "auto"
    threads: int | None = None
    precision: str | None = None
    defects: str = "auto"
    rows: bool = False

    def __post_init__(self) -> None:
        for name in ("strength", "luma", "chroma"):
            part = _number(getattr(self, name))
            if not 0 <= part <= 1:
                raise UsageError(f"{name} {getattr(self, name)!r}: give a number between 0 and 1.")
            object.__setattr__(self, name, part)
        if self.ensemble not in tuple(SYMMETRIES):
            raise UsageError(f"ensemble {self.ensemble!r}: give 1, 2, 4 or 8.")
        if self.noise is not None:
            object.__setattr__(self, "noise", _noise(self.noise))
        self._refuse_other_words()
        if self.calibration is not None:
            object.__setattr__(self, "calibration", Path(self.calibration))
        threads: object = self.threads
        if threads is not None and not (isinstance(threads, Integral) and int(threads) >= 1):
            raise UsageError(f"threads {threads!r}: give a whole number from 1.")

    def _refuse_other_words(self) -> None:
        """Refuse unknown choices, and names and switches of another type; UsageError."""
        for name, choices in (("noise_source", SOURCES), ("device", DEVICES), ("defects", DEFECTS)):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} {getattr(self, name)!r}: give one of {', '.join(choices)}.")
        for name, kinds in (("calibration", (str, os.PathLike)), ("model", (str, os.PathLike)), ("precision", str)):
            if getattr(self, name) is not None:
                refuse_other_type(getattr(self, name), name, kinds, "Give None for the default.")
        refuse_other_type(self.rows, "rows", (bool, np.bool_), "Give True or False.")

    @property
    def keeps_everything(self) -> bool:
        """Whether these options remove nothing."""
        return self.strength == 0 or (self.luma == 0 and self.chroma == 0)


def check_noise(noise: object, options: DenoiseOptions | None) -> None:
    """Raise UsageError if `noise` is not that of a sensor, or if the options give it too; None is allowed."""
    if noise is None:
        return
    if not isinstance(noise, NoiseModel) or not is_possible(noise.gain, noise.read_variance):
        raise UsageError(f"noise {noise!r}: give a NoiseModel of known noise; {NOISE_LIMITS}.")
    if options is not None and options.noise is not None:
        raise UsageError("noise: the options state it too. Give it once.")


def _number(value: object) -> float:
    """Return a number of Python or NumPy as a float; NaN for anything else."""
    return float(value) if isinstance(value, Real) else math.nan


def _noise(values: object) -> tuple[float, float]:
    """Return gain and read variance as a pair of floats; UsageError if they are not the noise of a sensor."""
    if isinstance(values, NoiseModel):
        raise UsageError("noise: give two numbers here, and a NoiseModel to rawkd.denoise or rawkd.denoise_file.")
    numbers = tuple(map(_number, values)) if isinstance(values, Iterable) else ()
    if len(numbers) != 2 or not is_possible(*numbers):
        raise UsageError(f"noise {values!r}: give two numbers, gain and read variance; {NOISE_LIMITS}.")
    return numbers
