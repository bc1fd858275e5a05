"""From a clean mosaic to a noisy one, as a camera would have written it, and what an estimator would say of it.

Sources: Poisson-Gaussian model and the line between read variance and gain from Brooks et al., CVPR 2019; heavy tails,
row noise and colour bias from ELD, Wei et al., CVPR 2020 (parameters in `eld.py`). Ranges without a source are our
choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import FloatArray
from rawkd.sensor.noise import NoiseModel, read_variance_prior
from rawkd.training.data.eld import draw_extremes

EXACT_POISSON_BELOW = 16.0
"""Electrons below which Poisson numbers are drawn exactly; above, their third-order Cornish-Fisher expansion."""
MOST_SMOOTHING = 0.25
"""Of the cameras that smooth: a sample then has a half of its own noise and a quarter of either neighbour's."""


@dataclass(frozen=True)
class NoiseShare:
    """A weaker noise as shares of another's gain and read variance, 0..1; noise r times weaker has 1 / r^2 of both."""

    gain: float
    read_variance: float


SAME_NOISE = NoiseShare(1.0, 1.0)


@dataclass(frozen=True)
class Camera:
    """One drawn camera setting.

    Attributes
    ----------
    gain, read_variance : noise of the sensor before quantisation, signal units.
    white_dn : integers between black and white; None leaves the signal continuous.
    black_dn : integers below black that the file can hold (0: the camera clips at black).
    row_variance : variance of a row's common offset. tail : Tukey-lambda shape of the read noise; None is Gaussian.
    color_bias : (4,) offset per plane R, Gr, Gb, B.
    smoothing : share of its noise that a sample gets from either neighbour in its row and its column of a plane, as
        lossy compression and a camera's own noise reduction leave it; gain and read variance are those that remain.
    """

    gain: float
    read_variance: float
    white_dn: int | None = None
    black_dn: int = 512
    row_variance: float = 0.0
    tail: float | None = None
    color_bias: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    smoothing: float = 0.0

    @property
    def total_read_variance(self) -> float:
        """Read variance with quantisation, (1/12) DN^2, and rows: what a calibration finds."""
        quantisation = 0.0 if self.white_dn is None else 1 / (12 * self.white_dn**2)
        return self.read_variance + quantisation + self.row_variance

    def with_noise(self, share: NoiseShare) -> Camera:
        """The camera with a share of its gain and of its total read variance.

        Its integers are finer to match, so that quantisation keeps its part in the read variance, and lie as low below
        black.
        """
        weaker = math.sqrt(share.read_variance)
        red, green_r, green_b, blue = (weaker * bias for bias in self.color_bias)
        return replace(
            self,
            gain=self.gain * share.gain,
            read_variance=self.read_variance * share.read_variance,
            white_dn=None if self.white_dn is None else round(self.white_dn / weaker),
            black_dn=round(self.black_dn / weaker),
            row_variance=self.row_variance * share.read_variance,
            color_bias=(red, green_r, green_b, blue),
        )

    def noise_model(self) -> NoiseModel:
        """The true noise parameters."""
        return NoiseModel(np.full(4, self.gain), np.full(4, self.total_read_variance), source="synthetic")


def camera_at(gain: float) -> Camera:
    """A 14-bit camera with black 512 whose read variance lies on the prior line."""
    return Camera(gain, read_variance_prior(gain), white_dn=16383 - 512, black_dn=512)


def draw_camera(
    rng: np.random.Generator,
    low: float,
    high: float,
    *,
    near_clean: float = 0.0,
    smoothed: float = 0.0,
    model: str = "poisson-gaussian",
) -> Camera:
    """A camera whose gain is log-uniform in [low, high]; a `near_clean` share lies up to a factor 100 below.

    A `smoothed` share has smoothed its noise, by up to a quarter from either neighbour.

    Read variance: Brooks et al.'s line with a spread of 0.7 in log, which holds both DND's and SIDD's cameras.
    A fifth of the cameras write continuous values, the others 12 or 14 bits (10 at high gains); an eighth clips at
    black.
    `model` "eld" adds heavy tails, row noise and colour bias of one of ELD's cameras.

    Raises
    ------
    UsageError: for another model.
    """
    gain = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if rng.random() < near_clean:
        gain *= float(10 ** rng.uniform(-2, 0))
    read = read_variance_prior(gain) * float(np.exp(0.7 * rng.standard_normal()))
    bits = int(rng.choice((10, 12, 14), p=(0.2, 0.4, 0.4))) if gain > 2e-4 else 14
    black = 0 if rng.random() < 0.125 else 2 ** (bits - 5)
    white = None if rng.random() < 0.2 else 2**bits - 1 - black
    if model == "poisson-gaussian":
        camera = Camera(gain, read, white, black)
    elif model == "eld":
        extremes = draw_extremes(rng, gain)
        camera = Camera(
            gain, extremes.read_variance, white, black, extremes.row_variance, extremes.tail, extremes.color_bias
        )
    else:
        raise UsageError(f"there is no noise model {model!r}: choose poisson-gaussian or eld")
    if smoothed and rng.random() < smoothed:
        return replace(camera, smoothing=float(rng.uniform(0, MOST_SMOOTHING)))
    return camera


def add_noise(clean: FloatArray, camera: Camera, rng: np.random.Generator) -> FloatArray:
    """Shot noise, read noise, clipping and quantisation of a camera.

    Parameters
    ----------
    clean : (..., 4, h, w) float32 signal of the planes R, Gr, Gb, B, 0..1 (above: clipped at white like a sensor).

    Returns
    -------
    The noisy signal, same shape, float32: unclipped below unless the file could not hold it, at most 1.
    """
    noisy = _poisson(clean * np.float32(1 / camera.gain), rng)
    noisy *= np.float32(camera.gain)
    sigma = np.float32(np.sqrt(camera.read_variance))
    if camera.tail is None:
        noisy += sigma * rng.standard_normal(clean.shape, np.float32)
    else:
        noisy += sigma * _tukey_lambda(camera.tail, clean.shape, rng)
    if camera.smoothing:
        noisy = clean + _smoothed(noisy - clean, camera.smoothing)
    if camera.row_variance:
        # the two planes of a mosaic row share its offset
        rows = rng.standard_normal((*clean.shape[:-3], 2, clean.shape[-2], 1), np.float32)
        noisy += np.float32(np.sqrt(camera.row_variance)) * np.repeat(rows, 2, axis=-3)
    if any(camera.color_bias):
        noisy += np.asarray(camera.color_bias, np.float32)[:, None, None]
    if camera.white_dn is not None:
        noisy *= np.float32(camera.white_dn)
        np.rint(noisy, out=noisy)
        np.maximum(noisy, np.float32(-camera.black_dn), out=noisy)
        noisy *= np.float32(1 / camera.white_dn)
    return np.minimum(noisy, np.float32(1), out=noisy)


def _smoothed(noise: FloatArray, share: float) -> FloatArray:
    """Noise of the same variance whose neighbours along the last two axes are alike (at the edge a little more so)."""
    for axis in (-1, -2):
        beyond = [(0, 0)] * noise.ndim
        beyond[axis] = (1, 1)
        rows = np.moveaxis(np.pad(noise, beyond, mode="edge"), axis, -1)
        own, others = np.float32(1 - 2 * share), np.float32(share)
        mixed: FloatArray = own * rows[..., 1:-1] + others * (rows[..., :-2] + rows[..., 2:])
        noise = np.moveaxis(mixed, -1, axis) * np.float32(((1 - 2 * share) ** 2 + 2 * share**2) ** -0.5)
    return noise


def told_noise(camera: Camera, rng: np.random.Generator, *, gain_error: float, read_error: float) -> NoiseModel:
    """What an estimator would report: gain and read variance with log-normal errors of the given spread."""
    return NoiseModel(
        np.full(4, camera.gain * np.exp(gain_error * rng.standard_normal())),
        np.full(4, camera.total_read_variance * np.exp(read_error * rng.standard_normal())),
        source="synthetic",
    )


def _poisson(expected: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Poisson numbers with the expected counts, float32.

    Above `EXACT_POISSON_BELOW` the Cornish-Fisher expansion with skewness and kurtosis: mean, variance and skewness are
    those of Poisson to 1 %, and nothing is rounded (a unit is far below the spread there).
    """
    mean = np.maximum(expected, 0)
    root = np.sqrt(mean)
    normal = rng.standard_normal(mean.shape, np.float32)
    square = normal * normal
    # lambda + sqrt(lambda) z + (z^2 - 1)/6 - (z^3 - z)/(72 sqrt(lambda))
    counts: FloatArray = mean + root * normal + (square - 1) * np.float32(1 / 6)
    counts -= normal * (square - 1) / np.maximum(root, 1) * np.float32(1 / 72)
    few = mean < EXACT_POISSON_BELOW
    if few.any():
        counts[few] = rng.poisson(mean[few])
    return counts


def _tukey_lambda(shape: float, size: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Tukey-lambda numbers of unit variance: Q(u) = (u^l - (1-u)^l)/l over its standard deviation; l above -1/2.

    The variance is 2/l^2 (1/(1 + 2l) - B(1 + l, 1 + l)), B being Euler's beta; at l = 0 the law is the logistic one.
    """
    uniform = rng.random(size).clip(1e-12, 1 - 1e-12)
    if abs(shape) < 1e-3:
        quantiles, variance = np.log(uniform / (1 - uniform)), math.pi**2 / 3
    else:
        quantiles = (uniform**shape - (1 - uniform) ** shape) / shape
        beta = math.gamma(1 + shape) ** 2 / math.gamma(2 + 2 * shape)
        variance = 2 * (1 / (1 + 2 * shape) - beta) / shape**2
    numbers: FloatArray = (quantiles / math.sqrt(variance)).astype(np.float32)
    return numbers
