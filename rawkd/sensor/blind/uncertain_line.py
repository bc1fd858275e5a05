"""A variance line with the standard errors of its gain and read variance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rawkd.photo import DoubleArray
from rawkd.sensor.blind.read_prior import ReadPrior

READ_KNOWN = 0.4
"""Largest relative standard error at which the read variance counts as known."""


@dataclass(frozen=True)
class VarianceLine:
    """The line variance(x) = gain * x + read_variance, and how reliable it is.

    Attributes
    ----------
    gain, read_variance : signal units.
    level : median signal of the picture.
    relative_error : relative standard error of the variance at `level`.
    shadow_error : relative standard error of the variance at the 5 % quantile of the levels, without the prior line.
    read_known : whether exposed or masked pixels determine the read variance; if not, it is the one expected at the
        gain, as far as the pixels allow it.
    texture_share : share of the variance of the used samples that the fit attributes to texture.
    flat_share : share of the blocks that are flat.
    disagreement : absolute log ratio to the line fitted from another start; the larger of `level` and shadows.
    """

    gain: float
    read_variance: float
    level: float
    relative_error: float
    shadow_error: float
    read_known: bool
    texture_share: float
    flat_share: float
    disagreement: float

    def at(self, level: float) -> float:
        """Return the variance at a signal."""
        return self.gain * max(level, 0.0) + self.read_variance


@dataclass(frozen=True, eq=False)
class UncertainLine:
    """A line and the (2, 2) covariance of its gain and read variance."""

    gain: float
    read: float
    covariance: DoubleArray

    def error_at(self, level: float) -> float:
        """Return the relative standard error of the variance at a signal."""
        at = np.array([max(level, 0.0), 1.0])
        return float(np.sqrt(max(at @ self.covariance @ at, 0.0)) / (at @ (self.gain, self.read)))

    @property
    def read_known(self) -> bool:
        """Whether the relative standard error of the read variance is at most `READ_KNOWN`."""
        return bool(np.sqrt(self.covariance[1, 1]) <= READ_KNOWN * self.read)

    def with_expected_read(self, prior: ReadPrior) -> UncertainLine:
        """Return the line, with its read variance raised towards the expected one if the data leave it open.

        It is raised by one standard error at most, and the gain changes with it along the covariance.
        """
        error = float(np.sqrt(self.covariance[1, 1]))
        read = min(prior.expected(self.gain), self.read + error)
        if self.read_known or read <= self.read:
            return self
        gain = self.gain + self.covariance[0, 1] / self.covariance[1, 1] * (read - self.read)
        return replace(self, gain=max(float(gain), self.gain / 2), read=read)
