"""Plot the noise of a photo: variance of small blocks against their level, with the fitted lines.

Texture only adds variance, so the noise line runs through the densest points, and along the lower edge of the cloud
where there is texture.
"""

from __future__ import annotations

import numpy as np

from rawkd.errors import NoiseError
from rawkd.files.write.chart import COLOURS, Axis, Series, chart, span
from rawkd.files.write.drawing import Drawing
from rawkd.photo import DoubleArray, Mosaic, RawPhoto
from rawkd.sensor.blind.blocks import block_statistics
from rawkd.sensor.blind.correlation import WHITE, Correlation
from rawkd.sensor.noise import NoiseModel, parse_noise_profile

NUM_BLOCKS = 900
"""Number of blocks to show, of four planes each, over the whole photo."""
LEAST_VARIANCE = 1e-9
"""Lower end of the variance axis, times 1000, if no line is drawn: less than 1 DN^2 at 14 bits."""
BEFORE, AFTER = "#9aa7b4", "#e0a458"


def noise_chart(photo: RawPhoto, noise: NoiseModel, restored: Mosaic | None = None) -> Drawing:
    """Plot block variances of the photo and of its restored mosaic, the noise in use, and the DNG NoiseProfile.

    Parameters
    ----------
    noise : parameters in use; the line of the greens is drawn, or none if the noise is unknown.
    restored : denoised mosaic, or None to plot only the photo.
    """
    level, variance = _cloud(photo.mosaic, photo, Correlation(*noise.correlation) if noise.correlation else WHITE)
    series = [Series("blocks of the photo", level, variance, BEFORE)]
    if restored is not None:
        series.append(Series("the same blocks, denoised", *_cloud(restored, photo, WHITE), AFTER))
    x = Axis("signal (0 black, 1 white)", *span(np.maximum(level, 1e-4), log=True), log=True)
    line = np.geomspace(x.low, x.high, 80)
    least = LEAST_VARIANCE
    if noise.known:
        fit = noise.green_variance(line)
        label = f"in use: gain {noise.green_gain:.3g}, read variance {noise.green_read_variance:.3g} ({noise.source})"
        series.append(Series(label, line, fit, COLOURS[0], "line"))
        least = float(fit.min())
    tag = _tagged(photo)
    if tag is not None:
        label = f"NoiseProfile of the file: gain {tag.green_gain:.3g}, read variance {tag.green_read_variance:.3g}"
        series.append(Series(label, line, tag.green_variance(line), COLOURS[2], "dashed"))
    seen = np.concatenate([one.y for one in series])
    low, high = span(np.maximum(seen, least / 1000), log=True)
    y = Axis("variance", low, high * (high / low) ** (0.06 * len(series)), log=True)
    return chart("Noise: variance of 8 x 8 blocks of each colour", x, y, series)


def _cloud(mosaic: Mosaic, photo: RawPhoto, correlation: Correlation) -> tuple[DoubleArray, DoubleArray]:
    """Return level and variance of the blocks of all planes; `correlation` is that of their noise."""
    blocks = block_statistics(mosaic, saturation=photo.levels.saturation, num_blocks=NUM_BLOCKS)
    blocks = blocks.over(*correlation.shares(1))
    return blocks.level.ravel(), blocks.energy.ravel()


def _tagged(photo: RawPhoto) -> NoiseModel | None:
    """Return the noise of the file's NoiseProfile, or None if there is none or it is invalid."""
    try:
        return parse_noise_profile(photo.noise_profile) if photo.noise_profile else None
    except NoiseError:
        return None
