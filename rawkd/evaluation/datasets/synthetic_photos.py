"""Noisy raw photos of clean camera colours: one camera, its mosaic, its noise, and its 14 bits."""

from __future__ import annotations

import numpy as np

from rawkd.photo import Capture, CFAPattern, ColorCalibration, DoubleArray, Levels, RawPhoto, Rect
from rawkd.sensor.noise import READ_PRIOR_OFFSET, READ_PRIOR_SLOPE, NoiseModel

BLACK_DN, WHITE_DN, BITS = 512, 16383, 14
CAMERA_FROM_XYZ: DoubleArray = np.array(
    [[0.6722, -0.0635, -0.0963], [-0.4287, 1.2460, 0.2028], [-0.0908, 0.2162, 0.5668]]
)
NEUTRAL: DoubleArray = np.array([0.5, 1.0, 0.6])
READ_SPREAD = 0.5
"""Standard deviation of the log read variance around the prior line."""


def mosaic_of(camera: DoubleArray, pattern: CFAPattern) -> DoubleArray:
    """Sample a camera's picture, (H, W, 3), through a CFA, (H, W).

    A monochrome pixel sees the mean of the white-balanced colours, at the gain of green (our choice, as in training).
    """
    if pattern.kind == "mono":
        grey: DoubleArray = (camera / NEUTRAL).mean(axis=-1)
        return grey
    out = np.empty(camera.shape[:2])
    for site, colour in enumerate(pattern.colours):
        place = (slice(site // pattern.side, None, pattern.side), slice(site % pattern.side, None, pattern.side))
        out[place] = camera[..., "RGB".index(colour)][place]
    return out


def noisy_photo(
    clean: DoubleArray, pattern: CFAPattern, gain: float, rng: np.random.Generator, *, tagged: bool
) -> RawPhoto:
    """Make a noisy raw photo of a clean mosaic; its read variance is drawn around the prior line.

    Parameters
    ----------
    clean : (H, W) float64 signal in 0..1. gain : signal units. tagged : whether the photo gets a NoiseProfile.
    """
    log_read = READ_PRIOR_SLOPE * np.log(gain) + READ_PRIOR_OFFSET + READ_SPREAD * rng.standard_normal()
    read = float(np.exp(log_read))
    signal = rng.poisson(clean / gain) * gain + rng.normal(0, np.sqrt(read), clean.shape)
    frame = np.clip(np.round(signal * (WHITE_DN - BLACK_DN) + BLACK_DN), 0, WHITE_DN).astype(np.uint16)
    area = Rect(0, 0, *clean.shape)
    return RawPhoto(
        frame=frame,
        active_area=area,
        default_crop=area,
        pattern=pattern,
        levels=Levels(np.full((2, 2), float(BLACK_DN)), WHITE_DN, WHITE_DN, BITS, cell_side=pattern.side),
        color=ColorCalibration.none() if pattern.kind == "mono" else ColorCalibration(CAMERA_FROM_XYZ, NEUTRAL),
        capture=Capture(),
        noise_profile=(gain, read) * (1 if pattern.kind == "mono" else 3) if tagged else (),
    )


def true_noise(photo: RawPhoto) -> NoiseModel:
    """Return the noise of a photo of `noisy_photo` that has a NoiseProfile, with that of rounding to integers."""
    gain, read = photo.noise_profile[:2]
    read_variance = np.full(len(photo.pattern.classes), read + 1 / 12 / photo.levels.range_dn**2)
    return NoiseModel(np.array(gain), read_variance, "true")
