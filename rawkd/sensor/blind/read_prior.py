"""Prior of the read variance: from masked pixels, or from what cameras usually have at a gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rawkd.photo import DoubleArray
from rawkd.sensor.noise import READ_PRIOR_SLOPE, expected_read_variance, read_variance_prior

LINE_SD, MEASURED_SD = 1.0, 0.15
"""Standard deviation of the log read variance around the expected value, and around one measured in masked pixels
(our choice)."""
REACH = 2.0
"""Difference of the log read variance beyond which the prior's pull stays constant."""


@dataclass(frozen=True)
class ReadPrior:
    """Expected read variance.

    Attributes
    ----------
    rounding : variance that rounding to integers adds, squared signal units.
    measured : read variance measured in masked pixels; None for the usual read variance of cameras at the gain.
    """

    rounding: float = 0.0
    measured: float | None = None

    def expected(self, gain: float) -> float:
        """Return the read variance expected at a gain, squared signal units."""
        if self.measured is not None:
            return self.measured
        return expected_read_variance(gain) + self.rounding

    def row(self, gain: float, read: float) -> tuple[DoubleArray, float]:
        """Return the prior as one equation in gain and read variance, linearised at a guess.

        Returns
        -------
        (2,) coefficients of gain and read variance, and their target, in standard deviations.
        """
        expected = self.expected(gain)
        slope = 0.0 if self.measured is not None else READ_PRIOR_SLOPE * read_variance_prior(gain) / expected
        spread = LINE_SD if self.measured is None else MEASURED_SD
        read = max(read, 1e-3 * expected)
        distance = float(np.clip(np.log(read / expected), -REACH, REACH))
        return np.array([-slope / gain, 1 / read]) / spread, (1 - slope - distance) / spread
