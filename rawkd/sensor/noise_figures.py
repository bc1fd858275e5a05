"""Convert noise to figures that photographers know: signal-to-noise ratio and equivalent full-frame ISO.

The signal-to-noise ratio at a signal x is x / sqrt(gain * x + read_variance): the mean over the noise standard
deviation of one pixel (EMVA 1288, section 2.5; ISO 15739 measures the same from patches of a chart). All figures use
the noise of the green pixels.
"""

from __future__ import annotations

import math

from rawkd.sensor.iso_prior import FULL_FRAME_GAIN
from rawkd.sensor.noise import NoiseModel

MID_GREY, SHADOWS = 0.18, 0.01
"""Signals as parts of white: a grey card exposed to its own reflectance, and deep shadows four stops below it."""
BASE_ISO = 100
# fmt: off
ISO_SETTINGS = (
    50, 64, 80, 100, 125, 160, 200, 250, 320, 400, 500, 640, 800, 1000, 1250, 1600, 2000, 2500, 3200, 4000, 5000,
    6400, 8000, 10000, 12800, 16000, 20000, 25600, 32000, 40000, 51200, 64000, 80000, 102400, 128000, 160000, 204800,
)
# fmt: on
"""ISO settings in thirds of a stop, as cameras name them (ISO 12232)."""


def signal_to_noise(noise: NoiseModel, signal: float) -> float:
    """Return the signal-to-noise ratio of the green pixels at a signal, as x in "x : 1".

    Parameters
    ----------
    signal : part of white, above 0 and up to 1; 0.18 is mid grey (`MID_GREY`), 0.01 deep shadow (`SHADOWS`).

    Raises
    ------
    ValueError: if the signal is not positive.
    """
    if not signal > 0:
        raise ValueError(f"the signal must be positive, not {signal:g}")
    return signal / math.sqrt(noise.green_variance(signal))


def decibels(ratio: float) -> float:
    """Convert a signal-to-noise ratio to decibels, 20 log10(ratio); 20 dB is 10 : 1, 40 dB is 100 : 1."""
    return 20 * math.log10(ratio)


def equivalent_iso(noise: NoiseModel) -> int:
    """Return the ISO at which a full-frame camera has the same signal-to-noise ratio at mid grey.

    Inverts the line of `iso_prior`, gain = 1.2e-5 * ISO / 100 for full frame (our choice; a single camera may differ by
    a factor of five). Read noise is small at mid grey, so all noise counts as shot noise there:
    ISO = 100 * (variance / signal) / 1.2e-5, rounded to thirds of a stop between 50 and 204800.
    """
    return usual_iso(BASE_ISO * noise.green_variance(MID_GREY) / MID_GREY / FULL_FRAME_GAIN)


def usual_iso(iso: float) -> int:
    """Return the camera setting nearest to an ISO, by ratio: 50, 64, 80, 100, 125, ... 204800."""
    return min(ISO_SETTINGS, key=lambda setting: abs(math.log(max(iso, 1.0) / setting)))
