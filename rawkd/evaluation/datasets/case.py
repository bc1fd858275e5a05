"""The parts of a benchmark: cases to restore, scoring rules, and scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rawkd.errors import InputError
from rawkd.metrics import bias_permille, noise_left, psnr, ssim
from rawkd.photo import DoubleArray, Mosaic, RawPhoto
from rawkd.render.color import ProcessMetadata
from rawkd.sensor.noise import NoiseModel

Values = dict[str, float]
"""Metrics by name: psnr_db, ssim, srgb_psnr_db, srgb_ssim, srgb_gmsd, bias_permille, noise_left_permille."""


@dataclass(frozen=True, eq=False)
class Case:
    """One noisy picture to restore.

    Attributes
    ----------
    name : unique within its benchmark. group : label of the cases it is averaged with ("gain 0.0003", "ratio 100").
    noisy : mosaic to restore, signal. reference : ground truth in the same unit; None if only a server has it.
    noise : noise parameters given to every method.
    saturation : signal at which the sensor clips; (side, side), one per site of the CFA cell, where sites differ.
    floor : smallest signal that the file can hold.
    gain : gain to plot results by: the true one if known, else the one of `noise`.
    color : colour data for scores in sRGB; None if the set has none.
    photo : the raw file of the picture, if there is one.
    true_noise : parameters of the noise that was added, if methods shall be scored with these too; else None.
    made_with : options that made the noise, plain JSON; {} of a set of real photos.
    warnings : one sentence each.
    """

    name: str
    group: str
    noisy: Mosaic
    reference: Mosaic | None
    noise: NoiseModel
    saturation: float | DoubleArray = 1.0
    floor: float = 0.0
    gain: float = 0.0
    color: ProcessMetadata | None = None
    photo: RawPhoto | None = None
    true_noise: NoiseModel | None = None
    made_with: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.gain:
            object.__setattr__(self, "gain", self.noise.green_gain)
        if self.reference is None:
            return
        if self.reference.data.shape != self.noisy.data.shape or self.reference.pattern != self.noisy.pattern:
            raise InputError(
                f"{self.name}: the noisy mosaic {self.noisy.data.shape} {self.noisy.pattern} and its reference "
                f"{self.reference.data.shape} {self.reference.pattern} do not match. Pair the right files."
            )


@dataclass(frozen=True)
class Score:
    """The metrics of one case, or of one region of it."""

    name: str
    values: Values


class Benchmark(Protocol):
    """A data set with its scoring rules.

    Attributes
    ----------
    name : name on the command line.
    rules : domain, clip, crop, data range, windows, source of the noise parameters; one sentence each.
    total : number of cases, for progress; 0 if not known in advance.
    """

    name: str
    rules: dict[str, str]
    total: int

    def cases(self) -> Iterator[Case]:
        """Yield the cases one by one, without keeping any in memory."""
        ...

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:
        """Yield the scores of a method on a case by the set's rules; nothing if only a server has the ground truth."""
        ...


@dataclass
class Warned:
    """Collects warnings; repeated ones are kept once with their count."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, warnings: tuple[str, ...]) -> None:
        """Count every warning."""
        for warning in warnings:
            self.counts[warning] = self.counts.get(warning, 0) + 1

    def lines(self) -> list[str]:
        """Return one line for each distinct warning."""
        return [text if count == 1 else f"{text} ({count} times)" for text, count in self.counts.items()]


RAW_RULES = {
    "domain": "raw mosaic, every sample",
    "clip": "the result is clipped to 0..1, the reference is left as it is",
    "crop": "none",
    "psnr": "10 log10(1 / mean squared error), the arithmetic mean over all cases",
    "ssim": "on the mosaic: Gaussian window 11 x 11, sigma 1.5, data range 1 (scikit-image)",
    "bias": "mean of result - reference before clipping, in thousandths of the reference's mean",
    "noise_left": "standard deviation of the error in the flattest tenth of 16 x 16 areas (X-Trans: 48 x 48), "
    "thousandths of white",
}
"""The rules of `raw_values`."""


PHOTO_RULES = RAW_RULES | {"clip": "result and reference are clipped to 0..1"}
"""The rules of `raw_values` for references that are photos: their own noise lies beyond black and white, too."""


def raw_values(restored: Mosaic, reference: Mosaic, *, of_photo: bool = False) -> Values:
    """Return PSNR, SSIM, bias and residual noise on the mosaic, by `RAW_RULES`.

    Parameters
    ----------
    of_photo : whether the reference is a photo, for `PHOTO_RULES`; else it is clean, and lies in 0..1 by itself.
    """
    clipped = np.clip(restored.data, 0, 1)
    truth = np.clip(reference.data, 0, 1) if of_photo else reference.data
    return {
        "psnr_db": psnr(clipped, truth),
        "ssim": ssim(clipped, truth),
        "bias_permille": bias_permille(restored.data, reference.data),
        "noise_left_permille": 1000 * noise_left(restored, reference),
    }
