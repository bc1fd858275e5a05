"""Prior of the noise from ISO and sensor size: the gain grows with the ISO and with the crop factor.

Gains at ISO 100 are 1.2e-5 (full frame), 2.2e-5 (APS-C), 3.0e-5 (four thirds), 6e-5 (one inch) and 2e-4 (phone). The
formula 1.2e-5 * crop^1.5 is close to them (our choice); a single camera may differ by up to a factor of five. The read
variance is the one that `sensor.noise` expects at the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawkd.photo import Capture, DoubleArray
from rawkd.sensor.noise import NoiseModel, expected_read_variance

FULL_FRAME_GAIN, CROP_POWER = 1.2e-5, 1.5
UNKNOWN_GAIN, LARGEST_GAIN = 5e-5, 2e-4
"""Gains at ISO 100: for a sensor of unknown size (between the largest and the smallest), and for a phone."""
SPREAD = 5.0
"""Largest factor by which cameras of one class differ from the prior."""
FOCAL_LENGTH_35MM = 41989
SHORT = 3


@dataclass(frozen=True)
class IsoPrior:
    """The expected gain and its limits.

    Attributes
    ----------
    gain : expected gain, signal units. ceiling : largest gain of cameras of this class at this ISO.
    size_known : whether the file states the sensor size.
    """

    gain: float
    ceiling: float
    size_known: bool

    @property
    def floor(self) -> float:
        """The smallest gain of cameras of this class at this ISO."""
        return self.gain / SPREAD if self.size_known else 0.0

    def model(self, read_variance: DoubleArray | None = None, *, step: float = 0.0) -> NoiseModel:
        """Return the noise to assume if the pixels cannot be measured.

        Parameters
        ----------
        read_variance : (classes,) measured in masked pixels; None for the one expected at the gain plus rounding noise.
        step : signal of one DN.
        """
        confidence = 0.5 if self.size_known else 0.25
        if read_variance is None:
            read_variance = np.array(expected_read_variance(self.gain) + step**2 / 12)
        return NoiseModel(np.array(self.gain), read_variance, "iso", confidence)


def iso_prior(capture: Capture) -> IsoPrior | None:
    """Return the prior of a capture, or None if its ISO is unknown."""
    if capture.iso is None or not np.isfinite(capture.iso) or capture.iso <= 0:
        return None
    stops = capture.iso / 100
    crop = crop_factor(capture)
    if crop is None:
        return IsoPrior(UNKNOWN_GAIN * stops, SPREAD * LARGEST_GAIN * stops, size_known=False)
    gain = FULL_FRAME_GAIN * crop**CROP_POWER * stops
    return IsoPrior(gain, SPREAD * gain, size_known=True)


def crop_factor(capture: Capture) -> float | None:
    """Return the crop factor: FocalLengthIn35mmFilm (tag 41989) over focal length; None if either is missing.

    None also for values outside 0.5..12: they are wrong or include a digital zoom.
    """
    tag = next((tag for tag in capture.exif if tag.number == FOCAL_LENGTH_35MM), None)
    if tag is None or tag.type != SHORT or tag.count != 1 or not capture.focal_length_mm:
        return None
    crop = int.from_bytes(tag.data, "little") / capture.focal_length_mm
    return crop if 0.5 <= crop <= 12 else None
