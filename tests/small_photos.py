"""Small raw photos of known content and noise."""

from __future__ import annotations

import numpy as np

from rawkd.photo import Capture, CFAPattern, ColorCalibration, FloatArray, Levels, RawPhoto, Rect

GAIN, READ_VARIANCE = 1e-3, 3e-6


def clean_signal(height: int, width: int) -> FloatArray:
    """Slow waves between 5 % and 55 % of white, (height, width) float32."""
    y, x = np.mgrid[0:height, 0:width]
    return (0.3 + 0.25 * np.sin(x / 40) * np.cos(y / 50)).astype(np.float32)


def noisy_photo(
    height: int = 203,
    width: int = 301,
    *,
    pattern: CFAPattern = CFAPattern.GBRG,
    bits: int = 14,
    orientation: int = 1,
    seed: int = 0,
    iso: float | None = 1600,
) -> RawPhoto:
    """A photo with masked pixels around an odd active area, Poisson-Gaussian noise of GAIN and READ_VARIANCE."""
    rng = np.random.default_rng(seed)
    clean = clean_signal(height, width)
    noisy = GAIN * rng.poisson(clean / GAIN) + rng.normal(0, np.sqrt(READ_VARIANCE), clean.shape)
    scale = 2**bits / 2**14
    levels = Levels(np.array([[512.0 * scale]]), 16000.0 * scale, 16000.0 * scale, bits)
    frame = np.full((height + 7, width + 9), round(512 * scale), np.uint16)
    area = Rect(3, 5, height, width)
    frame[area.slices] = levels.to_dn(noisy.astype(np.float32))
    return RawPhoto(
        frame=frame,
        active_area=area,
        default_crop=Rect(2, 4, height - 3, width - 5),
        pattern=pattern,
        levels=levels,
        color=ColorCalibration(
            np.array([[0.9, -0.3, -0.1], [-0.4, 1.2, 0.2], [-0.1, 0.2, 0.6]]), np.array([0.5, 1.0, 0.6])
        ),
        capture=Capture(make="Rawkd", model="Rawkd One", unique_camera_model="Rawkd One", iso=iso, exposure_s=0.01),
        orientation=orientation,
        noise_profile=(GAIN, READ_VARIANCE),
    )
