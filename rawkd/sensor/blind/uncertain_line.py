"""A variance line and how well its gain and read variance are known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rawkd.photo import DoubleArray
from rawkd.sensor.blind.read_prior import ReadPrior

READ_KNOWN = 0.4
"""Relative standard error of the read variance up to which it counts as known."""


@dataclass(frozen=True)
class VarianceLine:
    """variance(x) = gain * x + read_variance, and how well it is known.

    Attributes
    ----------
    gain, read_variance : signal units.
    level : median signal of the samples in use, where the line is known best.
    relative_error : standard error of the variance at `level`, relative.
    shadow_error : the same at the level below which 5 % of the picture lie, and without the help of the prior line.
    read_known : whether the pixels, or masked ones, tell the read variance; else it is the one to expect at the gain,
        as far as the pixels allow that.
    texture_share : part of the variance of the samples in use that was put down to texture.
    flat_share : part of the blocks that are flat.
    disagreement : log of the ratio to the line that the fit finds from another start, at `level` or in the shadows.
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
        """Variance at a signal."""
        return self.gain * max(level, 0.0) + self.read_variance


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
