"""Smooth coloured scenes without noise, as photos of every kind of sensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_photos import noisy_photo

from rawkd.photo import CFAPattern, ColorCalibration, FloatArray, Levels, RawPhoto, Rect

NEUTRAL = np.array([0.5, 1.0, 0.6])


def colours_of_scene(height: int, width: int) -> FloatArray:
    """Waves of 380 pixels and more between 0.1 and 0.5, white-balanced R, G, B, (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 60), np.cos(y / 70), np.sin((x + y) / 80)]
    return (0.3 + 0.2 * np.stack(waves, axis=-1)).astype(np.float32)


def mosaicked(rgb: FloatArray, pattern: CFAPattern) -> FloatArray:
    """Keep the colour of each pixel's filter; a pixel without a filter sees green's."""
    height, width, _ = rgb.shape
    side = pattern.side
    out = np.empty((height, width), np.float32)
    for row in range(side):
        for column in range(side):
            colour = max("RGB".find(pattern.colour_at(row, column)), 0) if pattern.kind != "mono" else 1
            out[row::side, column::side] = rgb[row::side, column::side, colour]
    return out


def scene_photo(pattern: CFAPattern, area: Rect | None = None, margin_px: int = 6) -> RawPhoto:
    """A photo of the scene with margins, camera colours unbalanced.

    Parameters
    ----------
    area : active area in the frame. margin_px : masked pixels to its right and below.
    """
    area = area or Rect(6, 12, 520, 540)
    height, width = area.height, area.width
    levels = Levels(np.array([[512.0]]), 16000.0, 16000.0, 14, cell_side=pattern.side)
    frame = np.full((area.top + height + margin_px, area.left + width + margin_px), 512, np.uint16)
    mono = pattern.kind == "mono"
    rgb = colours_of_scene(height, width) * (1 if mono else NEUTRAL)
    frame[area.slices] = levels.to_dn(mosaicked(rgb.astype(np.float32), pattern))
    photo = noisy_photo(8, 8)
    return replace(
        photo,
        frame=frame,
        active_area=area,
        default_crop=Rect(2, 4, height - 4, width - 8),
        pattern=pattern,
        levels=levels,
        color=ColorCalibration.none() if mono else photo.color,
        noise_profile=(),
    )
