"""What ISO alone says about the noise: gain grows with it, and with the crop factor of the sensor.

Gains at ISO 100 of 1.2e-5 (full frame), 2.2e-5 (APS-C), 3.0e-5 (four thirds), 6e-5 (one inch) and 2e-4 (phone) are
close to 1.2e-5 * crop^1.5 (our choice); single cameras lie up to a factor of five away. Read variance is what
`sensor.noise` expects at the gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawkd.photo import Capture, DoubleArray
from rawkd.sensor.noise import NoiseModel, expected_read_variance

FULL_FRAME_GAIN, CROP_POWER = 1.2e-5, 1.5
UNKNOWN_GAIN, LARGEST_GAIN = 5e-5, 2e-4
"""At ISO 100: between the largest and the smallest sensors, for a sensor of unknown size; a phone's."""
SPREAD = 5.0
"""Factor by which cameras of one class differ from the prior."""
FOCAL_LENGTH_35MM = 41989
SHORT = 3


@dataclass(frozen=True)
class IsoPrior:
    """The gain to expect.

    Attributes
    ----------
    gain : signal units. ceiling : the largest gain that a camera of this class has at this ISO.
    size_known : whether the file tells the size of its sensor.
    """

    gain: float
    ceiling: float
    size_known: bool

    @property
    def floor(self) -> float:
        """The smallest gain that a camera of this class has at this ISO."""
        return self.gain / SPREAD if self.size_known else 0.0

    def model(self, read_variance: DoubleArray | None = None, *, step: float = 0.0) -> NoiseModel:
        """The noise to assume where the pixels tell nothing.

        Parameters
        ----------
        read_variance : (4,) of masked pixels; None takes what is expected at the gain and what rounding adds.
        step : signal of one DN.
        """
        confidence = 0.5 if self.size_known else 0.25
        if read_variance is None:
            read_variance = np.array(expected_read_variance(self.gain) + step**2 / 12)
        return NoiseModel(np.array(self.gain), read_variance, "iso", confidence)


def iso_prior(capture: Capture) -> IsoPrior | None:
    """The prior of a capture; None where ISO is not known."""
    if capture.iso is None or not np.isfinite(capture.iso) or capture.iso <= 0:
        return None
    stops = capture.iso / 100
    crop = crop_factor(capture)
    if crop is None:
        return IsoPrior(UNKNOWN_GAIN * stops, SPREAD * LARGEST_GAIN * stops, size_known=False)
    gain = FULL_FRAME_GAIN * crop**CROP_POWER * stops
    return IsoPrior(gain, SPREAD * gain, size_known=True)


def crop_factor(capture: Capture) -> float | None:
    """Equivalent over true focal length (FocalLengthIn35mmFilm, tag 41989); None where the file does not say both.

    Values outside 0.5..12 are of no camera, or of a digital zoom, and are taken for unknown.
    """
    tag = next((tag for tag in capture.exif if tag.number == FOCAL_LENGTH_35MM), None)
    if tag is None or tag.type != SHORT or tag.count != 1 or not capture.focal_length_mm:
        return None
    crop = int.from_bytes(tag.data, "little") / capture.focal_length_mm
    return crop if 0.5 <= crop <= 12 else None
