"""Classical denoisers with variance stabilisation, if their packages are installed.

Each packed plane is transformed so that its noise has standard deviation 1, denoised as one picture, and transformed
back by the exact unbiased inverse. Source of transform and closed-form inverse: Mäkitalo and Foi, "Optimal inversion of
the generalized Anscombe transformation for Poisson-Gaussian noise", TIP 2013.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from rawkd.errors import UsageError
from rawkd.evaluation.datasets.case import Case
from rawkd.photo import DoubleArray, Mosaic
from rawkd.sensor.cfa import pack, unify, unpack


def stabilise(signal: DoubleArray, gain: float, read_variance: float) -> DoubleArray:
    """Generalised Anscombe transform, 2/a sqrt(max(a x + 3/8 a^2 + b, 0)): the noise then has variance 1."""
    values: DoubleArray = 2 / gain * np.sqrt(np.maximum(gain * signal + 0.375 * gain**2 + read_variance, 0))
    return values


def unstabilise(stable: DoubleArray, gain: float, read_variance: float) -> DoubleArray:
    """Closed-form approximation of the exact unbiased inverse, signal units, at least 0.

    It returns the mean of a Poisson-Gaussian variable, which is never negative.
    """
    z = np.maximum(stable, 2 * np.sqrt(0.375))
    root = np.sqrt(1.5)
    counts = z**2 / 4 + root / 4 / z - 11 / 8 / z**2 + 5 / 8 * root / z**3 - 1 / 8 - read_variance / gain**2
    values: DoubleArray = gain * np.maximum(counts, 0)
    return values


def _bm3d(picture: DoubleArray) -> DoubleArray:
    from bm3d import bm3d

    restored: DoubleArray = bm3d(picture, sigma_psd=1.0)
    return restored


def _wavelet(picture: DoubleArray) -> DoubleArray:
    """BayesShrink; the picture is scaled to 0..1 and back, because scikit-image clips to that range."""
    from skimage.restoration import denoise_wavelet

    low, span = picture.min(), max(float(np.ptp(picture)), 1e-9)
    restored: DoubleArray = denoise_wavelet((picture - low) / span, sigma=1 / span, rescale_sigma=False)
    restored *= span
    restored += low
    return restored


def _nlm(picture: DoubleArray) -> DoubleArray:
    """Patches of 5 x 5 within 13 x 13, h of 0.8 standard deviations: scikit-image's advice for the fast mode."""
    from skimage.restoration import denoise_nl_means

    restored: DoubleArray = denoise_nl_means(
        picture, patch_size=5, patch_distance=6, h=0.8, sigma=1.0, fast_mode=True, preserve_range=True
    )
    return restored


BASELINES: dict[str, tuple[Callable[[DoubleArray], DoubleArray], tuple[str, ...]]] = {
    "bm3d": (_bm3d, ("bm3d",)),
    "wavelet": (_wavelet, ("skimage", "pywt")),
    "nlm": (_nlm, ("skimage",)),
}
"""By name: a denoiser for pictures with unit noise, and the modules that it needs."""

PACKAGES = {"skimage": "scikit-image", "pywt": "PyWavelets", "bm3d": "bm3d"}


class Baseline:
    """A classical denoiser, plane by plane."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._denoise, self._modules = BASELINES[name]
        missing = [PACKAGES[module] for module in self._modules if find_spec(module) is None]
        if missing:
            raise UsageError(f"the baseline {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}")

    def prepare(self, case: Case) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing to load."""
        return ()

    def restore(self, case: Case) -> Mosaic:
        """Stabilise, denoise, invert, plane by plane."""
        case.noisy.pattern.require_bayer(f"the method {self.name}")
        unified, unification = unify(case.noisy)
        planes = pack(unified).astype(np.float64)
        for plane, gain, read in zip(planes, case.noise.gain, case.noise.read_variance, strict=True):
            plane[...] = unstabilise(
                self._denoise(stabilise(plane, float(gain), float(read))), float(gain), float(read)
            )
        data = unification.undo(unpack(planes.astype(np.float32)))
        return Mosaic(np.ascontiguousarray(data), case.noisy.pattern)

    def describe(self) -> dict[str, object]:
        """Name and versions."""
        return {
            "name": self.name,
            "kind": "baseline",
            "versions": {PACKAGES[module]: version(PACKAGES[module]) for module in self._modules},
            "transform": "generalised Anscombe, plane by plane, exact unbiased inverse",
        }
