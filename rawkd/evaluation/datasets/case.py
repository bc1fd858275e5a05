"""What a benchmark is made of: cases to restore, the rules of scoring, and the scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rawkd.errors import InputError
from rawkd.metrics import bias_permille, gmsd, noise_left, psnr, ssim
from rawkd.photo import FloatArray, Mosaic, RawPhoto
from rawkd.render.color import LUMA, ProcessMetadata
from rawkd.render.isp import process
from rawkd.sensor.bayer import pack, unify_bayer
from rawkd.sensor.noise import NoiseModel

Values = dict[str, float]
"""What was measured, by name: psnr_db, ssim, srgb_psnr_db, srgb_ssim, srgb_gmsd, bias_permille, noise_left_permille."""


@dataclass(frozen=True, eq=False)
class Case:
    """One noisy picture.

    Attributes
    ----------
    name : unique within its benchmark. group : what its scores are averaged with ("gain 0.0003", "ratio 100").
    noisy : what is to be restored, signal. reference : the truth in the same unit, None where a server keeps it.
    noise : what every method is told.
    saturation : signal at which the sensor clips. floor : the least signal that the file can hold.
    gain : by which results are plotted: the true one where it is known, else that of `noise`.
    color : for scores in sRGB, None where the set has no colour.
    photo : the file that the picture is from, where there is one.
    warnings : one sentence each.
    """

    name: str
    group: str
    noisy: Mosaic
    reference: Mosaic | None
    noise: NoiseModel
    saturation: float = 1.0
    floor: float = 0.0
    gain: float = 0.0
    color: ProcessMetadata | None = None
    photo: RawPhoto | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.gain:
            object.__setattr__(self, "gain", self.noise.green_gain)
        if self.reference is None:
            return
        if self.reference.data.shape != self.noisy.data.shape or self.reference.pattern != self.noisy.pattern:
            raise InputError(
                f"{self.name}: the noisy {self.noisy.data.shape} {self.noisy.pattern} and its reference "
                f"{self.reference.data.shape} {self.reference.pattern} do not match: pair the files anew"
            )


@dataclass(frozen=True)
class Score:
    """What was measured on one case, or on one region of it."""

    name: str
    values: Values


class Benchmark(Protocol):
    """A data set with its rules.

    Attributes
    ----------
    name : as it is asked for.
    rules : domain, clip, crop, data range, windows, where the noise parameters come from; a sentence each.
    total : number of cases, for progress; 0 where it is not known before.
    """

    name: str
    rules: dict[str, str]
    total: int

    def cases(self) -> Iterator[Case]:
        """The cases one after the other; none is kept."""
        ...

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:
        """The scores of a method on a case by the set's rules; none where a server keeps the truth."""
        ...


@dataclass
class Warned:
    """Warnings that come up again and again, kept once with their count."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, warnings: tuple[str, ...]) -> None:
        """Count every warning."""
        for warning in warnings:
            self.counts[warning] = self.counts.get(warning, 0) + 1

    def lines(self) -> list[str]:
        """One line a warning."""
        return [text if count == 1 else f"{text} ({count} times)" for text, count in self.counts.items()]


RAW_RULES = {
    "domain": "raw mosaic, every sample of the Bayer pattern",
    "clip": "the result is clipped to 0..1, the reference is left as it is",
    "crop": "none",
    "psnr": "10 log10(1 / mean squared error), the arithmetic mean over all cases",
    "ssim": "on the mosaic: Gaussian window 11 x 11, sigma 1.5, data range 1 (scikit-image)",
    "bias": "mean of result - reference before clipping, in thousandths of the reference's mean",
    "noise_left": "standard deviation of the error in the flattest tenth of 16 x 16 areas, thousandths of white",
}
"""The rules of `raw_values`."""

SRGB_RULE = {
    "srgb": "white balance, clip, bilinear demosaicing, camera to sRGB, clip, gamma 2.2 (Brooks et al. 2019, without "
    "tone curve), both sides alike; PSNR over all channels, SSIM as above, mean of the channels; GMSD of their luma"
}
"""The rule of `srgb_values`."""


def raw_values(restored: Mosaic, reference: Mosaic) -> Values:
    """PSNR, SSIM, bias and noise left on the mosaic, by `RAW_RULES`."""
    clipped = np.clip(restored.data, 0, 1)
    return {
        "psnr_db": psnr(clipped, reference.data),
        "ssim": ssim(clipped, reference.data),
        "bias_permille": bias_permille(restored.data, reference.data),
        "noise_left_permille": 1000 * noise_left(restored, reference),
    }


def srgb_values(restored: Mosaic, reference: Mosaic, color: ProcessMetadata) -> Values:
    """PSNR, SSIM and GMSD after the minimalist ISP, by `SRGB_RULE`."""
    after, truth = (_develop(mosaic, color) for mosaic in (restored, reference))
    return {
        "srgb_psnr_db": psnr(after, truth),
        "srgb_ssim": ssim(after, truth, channel_axis=0),
        "srgb_gmsd": gmsd(_luma(after), _luma(truth)),
    }


def _luma(rgb: FloatArray) -> FloatArray:
    """(3, H, W) -> (H, W) by the weights of Rec. 601, as GMSD's authors convert."""
    grey: FloatArray = np.tensordot(np.array(LUMA, np.float32), rgb, 1)
    return grey


def _develop(mosaic: Mosaic, color: ProcessMetadata) -> FloatArray:
    """(3, H, W) in 0..1."""
    unified, unification = unify_bayer(mosaic)
    pixels = process(pack(unified), color)
    return np.stack([unification.undo(channel) for channel in pixels])
