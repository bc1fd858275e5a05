"""Compare a restored picture with its reference: PSNR, SSIM, GMSD, bias, and the noise left in flat areas.

Nothing is clipped here. Each benchmark sets its own domain, clipping, crop and data range (`rawkd.evaluation`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rawkd.errors import InputError, UsageError
from rawkd.photo import DoubleArray, Mosaic
from rawkd.sensor.cfa import Unification

Floats = NDArray[np.floating[Any]]
Window = Literal["gaussian", "uniform"]

GMSD_C = 170.0
"""Constant c of GMSD, which stabilises it where both pictures are flat; on the scale of 0 to 255."""

FLAT_SIDE_PX = 16
FLATTEST = 0.1
"""Side of an area in mosaic pixels, and the fraction of all areas that counts as flat (our choice)."""

LEVEL_BINS = 24
"""Bins of a bias curve. They are evenly spaced in the square root of the signal, like shot noise (our choice)."""


def psnr(restored: Floats, reference: Floats, data_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio, 10 log10(range^2 / mean squared error), dB; infinite for equal arrays.

    Parameters
    ----------
    restored, reference : arrays of the same shape and unit, not empty. data_range : the peak in that unit.

    Raises
    ------
    InputError: if the shapes differ, or the error is not finite.
    """
    error = float(np.mean(np.square(_difference(restored, reference))))
    if not np.isfinite(error):
        raise InputError("the pictures have values that are not finite, so they cannot be scored")
    return float("inf") if error == 0 else float(10 * np.log10(data_range**2 / error))


def ssim(
    restored: Floats,
    reference: Floats,
    data_range: float = 1.0,
    *,
    window: Window = "gaussian",
    channel_axis: int | None = None,
) -> float:
    """Return the mean structural similarity (SSIM), at most 1, computed by scikit-image.

    Source: Wang et al., TIP 2004.

    Parameters
    ----------
    restored, reference : arrays of the same shape; height and width at least 11. data_range : the peak.
    window : "gaussian", 11 x 11 with sigma 1.5 as in the paper, or "uniform", 7 x 7 as by default in scikit-image.
    channel_axis : axis of the channels, over which the result is averaged; None for one channel.

    Raises
    ------
    InputError: if the shapes differ or the picture is smaller than the window. UsageError: if scikit-image is missing.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise UsageError("SSIM needs scikit-image. Install rawkd[bench].") from error
    if restored.shape != reference.shape:
        raise InputError(f"a result of {restored.shape} cannot be compared with a reference of {reference.shape}")
    kind: dict[str, Any] = {"win_size": 7}
    if window == "gaussian":
        kind = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    try:
        value = structural_similarity(
            reference.astype(np.float64),
            restored.astype(np.float64),
            data_range=data_range,
            channel_axis=channel_axis,
            **kind,
        )
    except ValueError as error:
        raise InputError(f"a picture of {restored.shape} is too small for SSIM") from error
    return float(value)


def gmsd(restored: Floats, reference: Floats, data_range: float = 1.0) -> float:
    """Return the gradient magnitude similarity deviation (GMSD): 0 for equal pictures, larger if edges change.

    GMSD is a perceptual metric. It needs no trained weights and agrees with human scores about as well as metrics that
    do. Source: Xue et al., "Gradient Magnitude Similarity Deviation", TIP 2014 (arXiv 1308.3052), eq. 2 to 7, with
    c = 170 for pictures of 0 to 255. As in the paper, pictures are first halved by 2x2 averages.

    Parameters
    ----------
    restored, reference : (H, W) grey, H and W at least 4. data_range : the peak.

    Raises
    ------
    InputError: if the shapes differ, or are not (H, W) of at least 4 x 4.
    """
    if restored.shape != reference.shape or restored.ndim != 2 or min(restored.shape) < 4:
        raise InputError(f"a result of {restored.shape} cannot be compared with a reference of {reference.shape}")
    of_restored, of_reference = (_gradients(picture * (255 / data_range)) for picture in (restored, reference))
    similarity = (2 * of_restored * of_reference + GMSD_C) / (of_restored**2 + of_reference**2 + GMSD_C)
    return float(np.std(similarity))


def _gradients(picture: Floats) -> DoubleArray:
    """Return the Prewitt gradient magnitudes of a picture that is halved by 2x2 averages and padded with black."""
    rows, columns = (size // 2 * 2 for size in picture.shape)
    small = picture[:rows, :columns].astype(np.float64).reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
    wide = np.pad(small, 1)
    across = (wide[:, 2:] - wide[:, :-2]) / 3
    down = (wide[2:] - wide[:-2]) / 3
    horizontal = across[:-2] + across[1:-1] + across[2:]
    vertical = down[:, :-2] + down[:, 1:-1] + down[:, 2:]
    magnitudes: DoubleArray = np.hypot(horizontal, vertical)
    return magnitudes


def bias_permille(restored: Floats, reference: Floats) -> float:
    """Return the mean of restored - reference, in thousandths of the mean of the reference.

    Raises
    ------
    InputError: if the shapes differ, or the reference is entirely black.
    """
    mean = float(np.mean(reference, dtype=np.float64))
    if mean == 0:
        raise InputError("the reference is entirely black, so the relative bias is undefined")
    return 1000 * float(np.mean(_difference(restored, reference))) / mean


def noise_left(restored: Mosaic, reference: Mosaic) -> float:
    """Return the standard deviation of restored - reference in the flattest areas of the reference, signal units.

    The areas are blocks of 8 x 8 pixels of each site of the cell: 16 x 16 mosaic pixels, or 48 x 48 of X-Trans. The
    tenth of them with the smallest variance relative to the level of the reference counts. The mean error of a block is
    bias and does not count. (Our choice.)

    Raises
    ------
    InputError: if shape or CFA phase differ, or there is no whole block.
    """
    clean = _plane_blocks(reference)
    same = restored.data.shape == reference.data.shape and restored.pattern == reference.pattern
    error = _plane_blocks(restored) - clean if same else clean[:0]
    if not len(error):
        raise InputError(
            f"a mosaic of {restored.data.shape} {restored.pattern} cannot be compared with a reference of "
            f"{reference.data.shape} {reference.pattern}: both need the same shape and phase and whole areas"
        )
    level = np.maximum(clean.mean(axis=2), 1e-3)
    activity = (clean.var(axis=2) / level).mean(axis=1)
    flat = np.argsort(activity, kind="stable")[: max(1, round(FLATTEST * len(activity)))]
    return float(np.sqrt(error[flat].var(axis=2).mean()))


def _plane_blocks(mosaic: Mosaic) -> DoubleArray:
    """Return the samples of every whole block by site, (n, sites, 64) float64; blocks start at a canonical cell."""
    padding, cell = Unification.of((0, 0), mosaic.pattern), mosaic.pattern.side
    data = mosaic.data[-padding.top % cell :, -padding.left % cell :]
    half = FLAT_SIDE_PX // 2
    side = half * cell
    rows, columns = data.shape[0] // side, data.shape[1] // side
    cells = data[: rows * side, : columns * side].reshape(rows, half, cell, columns, half, cell)
    return cells.transpose(0, 3, 2, 5, 1, 4).reshape(rows * columns, cell**2, half**2).astype(np.float64)


@dataclass
class BiasCurve:
    """Mean error as a function of the level of the reference, accumulated over pictures.

    Attributes
    ----------
    error, level : (LEVEL_BINS,) sums of restored - reference and of the reference. count : samples per bin.
    """

    error: DoubleArray = field(default_factory=lambda: np.zeros(LEVEL_BINS))
    level: DoubleArray = field(default_factory=lambda: np.zeros(LEVEL_BINS))
    count: DoubleArray = field(default_factory=lambda: np.zeros(LEVEL_BINS))

    def add(self, restored: Floats, reference: Floats) -> None:
        """Add the samples of a picture; reference values outside 0..1 count in the first or last bin."""
        error = _difference(restored, reference).ravel()
        clean = np.asarray(reference, np.float64).ravel()
        place = np.minimum((np.sqrt(np.clip(clean, 0, 1)) * LEVEL_BINS).astype(np.intp), LEVEL_BINS - 1)
        self.error += np.bincount(place, error, LEVEL_BINS)
        self.level += np.bincount(place, clean, LEVEL_BINS)
        self.count += np.bincount(place, minlength=LEVEL_BINS)

    def points(self) -> list[tuple[float, float, int]]:
        """Return (mean level, mean error, number of samples) of every bin that is not empty."""
        return [
            (float(level / count), float(error / count), int(count))
            for error, level, count in zip(self.error, self.level, self.count, strict=True)
            if count
        ]


def _difference(restored: Floats, reference: Floats) -> DoubleArray:
    """Return restored - reference in float64; raise InputError for different shapes or empty arrays."""
    if restored.shape != reference.shape or restored.size == 0:
        raise InputError(f"a result of {restored.shape} cannot be compared with a reference of {reference.shape}")
    return np.subtract(restored, reference, dtype=np.float64)
