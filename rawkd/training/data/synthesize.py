"""Add synthetic camera noise to a clean mosaic, and simulate the errors of a noise estimate.

Sources: Poisson-Gaussian model and linear relation of log read variance and log gain, Brooks et al., CVPR 2019; heavy
tails, row noise and colour bias, ELD, Wei et al., CVPR 2020 (parameters in `eld.py`). All other ranges are our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.noise import NoiseModel, read_variance_prior
from rawkd.training.data.eld import draw_extremes

EXACT_POISSON_BELOW = 16.0
"""Number of electrons below which Poisson noise is drawn exactly; above, we use a Cornish-Fisher expansion."""
MOST_SMOOTHING = 0.25
"""Largest `Camera.smoothing`: the weight of a sample's own noise is then 1/2, that of each neighbour 1/4."""


@dataclass(frozen=True)
class NoiseShare:
    """Weaker noise as fractions of another noise's gain and read variance, 0..1.

    Noise with a standard deviation r times smaller has 1 / r^2 of both.
    """

    gain: float
    read_variance: float


SAME_NOISE = NoiseShare(1.0, 1.0)


@dataclass(frozen=True)
class Camera:
    """Noise parameters of one camera setting, signal units.

    Attributes
    ----------
    gain, read_variance : of the sensor before quantisation.
    white_dn : number of integer levels between black and white; None: no quantisation.
    black_dn : number of integer levels below black (0: the camera clips at black).
    row_variance : variance of the common offset of a row. tail : Tukey-lambda shape of the read noise; None: Gaussian.
    color_bias : (4,) offsets of the planes R, Gr, Gb, B.
    smoothing : weight of each neighbour's noise in the row and in the column of a plane, 0..0.25, like after lossy
        compression or in-camera noise reduction. The variance is restored, so gain and read variance stay valid.
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
        """Read variance including quantisation, (1/12) DN^2, and row noise, as a calibration would measure it."""
        quantisation = 0.0 if self.white_dn is None else 1 / (12 * self.white_dn**2)
        return self.read_variance + quantisation + self.row_variance

    def with_noise(self, share: NoiseShare) -> Camera:
        """Return the camera with fractions of its gain and total read variance.

        It has finer integers, so that quantisation keeps its part of the read variance and the range below black
        stays the same.
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

    def noise_model(self, cell: CFAPattern = CFAPattern.RGGB) -> NoiseModel:
        """Return the true noise parameters of the noise classes of a CFA."""
        return _equal_noise(self.gain, self.total_read_variance, cell)


def camera_at(gain: float) -> Camera:
    """Return a 14-bit camera with black level 512 and the read variance of the prior at `gain`."""
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
    """Return a random camera with a gain log-uniform in [low, high].

    The read variance follows the line of Brooks et al. with a standard deviation of 0.7 in log, which covers the
    cameras of DND and SIDD. A fifth of the cameras has no quantisation; the others have 14 bits, above a gain of 2e-4
    also 10 or 12. An eighth clips at black.

    Parameters
    ----------
    near_clean : probability of a gain up to 100 times lower. smoothed : probability of smoothed noise.
    model : "poisson-gaussian", or "eld" with heavy tails, row noise and colour bias of one of ELD's cameras.

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
        raise UsageError(f"there is no noise model {model!r}. Choose poisson-gaussian or eld.")
    if smoothed and rng.random() < smoothed:
        return replace(camera, smoothing=float(rng.uniform(0, MOST_SMOOTHING)))
    return camera


def add_noise(clean: FloatArray, camera: Camera, rng: np.random.Generator) -> FloatArray:
    """Return the signal with a camera's shot noise, read noise, clipping and quantisation.

    Parameters
    ----------
    clean : (..., planes, h, w) float32 signal of a packed mosaic, 0..1; larger values are clipped at white.

    Returns
    -------
    The noisy signal, same shape, float32, at most 1; negative values are clipped only at the camera's lowest integer.
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
        side = math.isqrt(clean.shape[-3])  # all planes of a mosaic row have the same offset
        rows = rng.standard_normal((*clean.shape[:-3], side, clean.shape[-2], 1), np.float32)
        noisy += np.float32(np.sqrt(camera.row_variance)) * np.repeat(rows, side, axis=-3)
    if any(camera.color_bias):
        cell = CFAPattern.XTRANS if clean.shape[-3] == 36 else CFAPattern.RGGB
        bias = np.asarray(camera.color_bias, np.float32)[[0, 1, 3] if cell.side == 6 else [0, 1, 2, 3]]
        noisy += bias[cell.class_of_site.ravel()][:, None, None]
    if camera.white_dn is not None:
        noisy *= np.float32(camera.white_dn)
        np.rint(noisy, out=noisy)
        np.maximum(noisy, np.float32(-camera.black_dn), out=noisy)
        noisy *= np.float32(1 / camera.white_dn)
    return np.minimum(noisy, np.float32(1), out=noisy)


def _smoothed(noise: FloatArray, share: float) -> FloatArray:
    """Return noise of the same variance, correlated between neighbours along the last two axes (more at the edge)."""
    for axis in (-1, -2):
        beyond = [(0, 0)] * noise.ndim
        beyond[axis] = (1, 1)
        rows = np.moveaxis(np.pad(noise, beyond, mode="edge"), axis, -1)
        own, others = np.float32(1 - 2 * share), np.float32(share)
        mixed: FloatArray = own * rows[..., 1:-1] + others * (rows[..., :-2] + rows[..., 2:])
        noise = np.moveaxis(mixed, -1, axis) * np.float32(((1 - 2 * share) ** 2 + 2 * share**2) ** -0.5)
    return noise


def estimated_noise(
    camera: Camera,
    rng: np.random.Generator,
    *,
    gain_error: float,
    read_error: float,
    cell: CFAPattern = CFAPattern.RGGB,
) -> NoiseModel:
    """Return a simulated noise estimate: the true parameters with log-normal errors.

    Parameters
    ----------
    gain_error, read_error : standard deviations of the errors of gain and read variance, in log.
    cell : the CFA, all of whose noise classes get the same parameters.
    """
    gain = camera.gain * float(np.exp(gain_error * rng.standard_normal()))
    return _equal_noise(gain, camera.total_read_variance * float(np.exp(read_error * rng.standard_normal())), cell)


def _equal_noise(gain: float, read_variance: float, cell: CFAPattern) -> NoiseModel:
    count = len(cell.classes)
    return NoiseModel(np.full(count, gain), np.full(count, read_variance), source="synthetic")


def _poisson(expected: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return Poisson-distributed float32 numbers with the expected counts.

    Above `EXACT_POISSON_BELOW` we use the Cornish-Fisher expansion with skewness and kurtosis. Its mean, variance and
    skewness match Poisson to 1 %. These numbers are not rounded: one electron is far below the spread there.
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
    """Return Tukey-lambda numbers of unit variance: Q(u) = (u^l - (1-u)^l)/l over its standard deviation.

    The variance is 2/l^2 (1/(1 + 2l) - B(1 + l, 1 + l)) with Euler's beta function B, for a shape l above -1/2. At
    l = 0 the distribution is logistic.
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
