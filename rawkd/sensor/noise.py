"""The Poisson-Gaussian noise model of a sensor: variance(x) = gain * x + read variance, in signal units.

Sources: Foi et al. 2008; PMRID, Wang et al., ECCV 2020, eq. 1-6; the prior line between gain and read variance from
Brooks et al., CVPR 2019 (unprocessing, Apache-2.0); DNG NoiseProfile is tag 51041.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from rawkd.errors import NoiseError
from rawkd.photo import CFAPattern, DoubleArray

Signal = TypeVar("Signal", float, DoubleArray)

UNKNOWN = "unknown"
NOISE_LIMITS = "the gain lies between 0 and 1, the read variance from 0 up to 1"
"""What `is_possible` asks for, in words (our choice)."""
SIGMA_OF_MAD = 1.4826
"""Standard deviation of Gaussian numbers as a multiple of their median absolute deviation."""


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """Noise parameters of one photo.

    Attributes
    ----------
    gain : (classes,) float64, one for each noise class of the CFA, signal units, positive: R, Gr, Gb, B of Bayer (Gr
        and Gb are set to their mean), R, G, B of X-Trans, one of monochrome. A plain number is that of Bayer's four.
    read_variance : the same, squared signal units, >= 0; includes quantisation (1/12 DN^2).
    source : given | calibration | profile | blind | iso, plus any correction; "unknown" for `UNKNOWN_NOISE`.
    confidence : 0..1; at most 0.5 for a prior.
    correlation : of the noise of direct neighbours in a colour plane, horizontal and vertical; None for white noise or
        if it was not measured. Gain and read variance are those of a pixel, whatever its neighbours have.
    """

    gain: DoubleArray
    read_variance: DoubleArray
    source: str = "given"
    confidence: float = 1.0
    correlation: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        try:
            given, given_read = np.asarray(self.gain, np.float64), np.asarray(self.read_variance, np.float64)
            shape = np.broadcast_shapes(given.shape, given_read.shape) or (4,)
        except (TypeError, ValueError, OverflowError) as error:
            raise NoiseError("gain and read variance are not numbers, as many of one as of the other") from error
        if shape not in _COLOURS:
            raise NoiseError(f"noise parameters of shape {shape} are not those of 1, 3 or 4 classes of pixels")
        gain, read = np.broadcast_to(given, shape).copy(), np.broadcast_to(given_read, shape).copy()
        if not (np.isfinite(gain).all() and (gain > 0).all()):
            raise NoiseError(f"the gain {gain} is not positive and finite")
        if not (np.isfinite(read).all() and (read >= 0).all()):
            raise NoiseError(f"the read variance {read} is negative or not finite")
        if shape == (4,):
            gain[1:3] = gain[1:3].mean()
            read[1:3] = read[1:3].mean()
        object.__setattr__(self, "gain", gain)
        object.__setattr__(self, "read_variance", read)
        if self.correlation is not None and not _is_correlation(self.correlation):
            raise NoiseError(f"the correlation {self.correlation!r} is neither None nor two numbers from -1 to 1")

    @property
    def known(self) -> bool:
        """Whether these are the parameters of a photo, not `UNKNOWN_NOISE`."""
        return self.source != UNKNOWN

    @property
    def green_gain(self) -> float:
        """Gain of the greens, or of all pixels of a monochrome sensor; the model is chosen by it."""
        return float(self.gain[_COLOURS[self.gain.shape][1]])

    @property
    def green_read_variance(self) -> float:
        """Read variance of the greens, or of all pixels of a monochrome sensor."""
        return float(self.read_variance[_COLOURS[self.gain.shape][1]])

    def green_variance(self, signal: Signal) -> Signal:
        """Return the noise variance of green pixels at a signal >= 0, or of all pixels of a monochrome sensor."""
        return self.green_gain * signal + self.green_read_variance

    def for_cfa(self, pattern: CFAPattern) -> NoiseModel:
        """Return the noise with the classes of a CFA: each gets the parameters of its colour."""
        if len(self.gain) == len(pattern.classes):
            return self
        classes = np.array(_COLOURS[self.gain.shape])[pattern.colour_of_class]
        return replace(self, gain=self.gain[classes], read_variance=self.read_variance[classes])

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        """Gain and read variance of R, G and B, or of the only class, as in a NoiseProfile (tag 51041)."""
        classes = dict.fromkeys(_COLOURS[self.gain.shape])
        return tuple((float(self.gain[one]), float(self.read_variance[one])) for one in classes)

    def variance(self, planes: DoubleArray) -> DoubleArray:
        """Return the noise variance at the signal `planes`, (classes, h, w)."""
        return self.gain[:, None, None] * np.maximum(planes, 0) + self.read_variance[:, None, None]


def _is_correlation(values: object) -> bool:
    """Whether these are two numbers from -1 to 1; false for NaN."""
    try:
        pair = np.asarray(values)
    except ValueError:  # lists of other lengths
        return False
    return pair.shape == (2,) and pair.dtype.kind in "iuf" and bool((np.abs(pair.astype(np.float64)) <= 1).all())


def is_possible(gain: float | DoubleArray, read_variance: float | DoubleArray) -> bool:
    """Whether all of these parameters can be a sensor's, signal units: `NOISE_LIMITS`; false for NaN."""
    gains, reads = np.asarray(gain), np.asarray(read_variance)
    return bool(((gains > 0) & (gains < 1)).all() and ((reads >= 0) & (reads < 1)).all())


_COLOURS = {(1,): (0, 0, 0), (3,): (0, 1, 2), (4,): (0, 1, 3)}
"""Class whose parameters R, G and B have, by the shape of the parameters."""

UNKNOWN_NOISE = NoiseModel(np.array(1.0), np.array(0.0), UNKNOWN, 0.0)
"""Placeholder for noise that cannot be determined, allowed only if no noise is removed; its numbers mean nothing."""

READ_PRIOR_SLOPE, READ_PRIOR_OFFSET = 2.18, 1.20
"""Prior line log b = 2.18 log a + 1.20 between gain a and read variance b of the DND cameras (Brooks et al. 2019,
random_noise_levels)."""


def read_variance_prior(gain: float) -> float:
    """Return the read variance of the prior line at a gain, squared signal units."""
    return float(np.exp(READ_PRIOR_SLOPE * np.log(gain) + READ_PRIOR_OFFSET))


BASE_READ_VARIANCE = 2.0**-26
"""Expected read variance at gain 0: a standard deviation 13 stops below white, from the electronics behind the pixels
(our choice). Without it the prior is too low at base ISO, most of all for old cameras."""


def expected_read_variance(gain: float) -> float:
    """Return the read variance to assume without a measurement, squared signal units: prior line plus base."""
    return read_variance_prior(gain) + BASE_READ_VARIANCE


LEAST_PROFILE_GAIN, LARGEST_PROFILE_GAIN = 1e-6, 0.2
"""Range of plausible gains in a NoiseProfile; the upper limit also holds for its read variances (our choice)."""


def parse_noise_profile(values: tuple[float, ...]) -> NoiseModel:
    """Return the noise of a DNG NoiseProfile (tag 51041): pairs (S, O) of gain and read variance, signal units.

    Parameters
    ----------
    values : one pair for all planes, three pairs R, G, B, or four pairs R, Gr, Gb, B.

    Raises
    ------
    NoiseError: if the count is wrong or a value implausible, such as the read variances of 0 that some files have.
    """
    planes = {2: (0, 0, 0, 0), 6: (0, 1, 1, 2), 8: (0, 1, 2, 3)}.get(len(values))
    if planes is None:
        raise NoiseError(f"the NoiseProfile has {len(values)} numbers, not 2, 6 or 8")
    gain, read = np.array(values, np.float64).reshape(-1, 2)[list(planes)].T
    if not (np.isfinite(gain).all() and np.isfinite(read).all()):
        raise NoiseError(f"the NoiseProfile has values that are not finite: {values}")
    if not ((gain > LEAST_PROFILE_GAIN) & (gain < LARGEST_PROFILE_GAIN)).all():
        raise NoiseError(f"the NoiseProfile has implausible gains: {gain}")
    if not ((read > 0) & (read < LARGEST_PROFILE_GAIN)).all():
        raise NoiseError(f"the NoiseProfile has implausible read variances: {read}")
    return NoiseModel(gain, read, "profile")
