"""A variance line and how well its gain and read variance are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rawkd.photo import DoubleArray
from rawkd.sensor.blind.read_prior import ReadPrior

READ_KNOWN = 0.4
"""Relative standard error of the read variance up to which it counts as known."""


@dataclass(frozen=True, eq=False)
class UncertainLine:
    """A line and the (2, 2) covariance of its gain and read variance."""

    gain: float
    read: float
    covariance: DoubleArray

    def error_at(self, level: float) -> float:
        """Relative standard error of the variance at a signal."""
        at = np.array([max(level, 0.0), 1.0])
        return float(np.sqrt(max(at @ self.covariance @ at, 0.0)) / (at @ (self.gain, self.read)))

    @property
    def read_known(self) -> bool:
        """Whether the read variance is known to `READ_KNOWN` of itself."""
        return bool(np.sqrt(self.covariance[1, 1]) <= READ_KNOWN * self.read)

    def with_expected_read(self, prior: ReadPrior) -> UncertainLine:
        """The line itself, or one with the expected read variance where less was found than is known from the data."""
        error = float(np.sqrt(self.covariance[1, 1]))
        read = min(prior.expected(self.gain), self.read + error)
        if self.read_known or read <= self.read:
            return self
        gain = self.gain + self.covariance[0, 1] / self.covariance[1, 1] * (read - self.read)
        return replace(self, gain=max(float(gain), self.gain / 2), read=read)
