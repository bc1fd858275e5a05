"""Self-ensemble: average the results for flipped and transposed copies of the mosaic.

Source: the x8 ensemble of the NTIRE 2020 raw winner. After every flip we shift the mosaic back to the canonical phase,
because our networks are trained on that phase only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import CFAPattern, FloatArray
from rawkd.sensor.cfa import RGGB, SYMMETRIES, symmetries_of

ROWS = 512


Denoise = Callable[[FloatArray], FloatArray]


def self_ensemble(
    denoise: Denoise,
    mosaic: FloatArray,
    members: int,
    cell: CFAPattern = RGGB,
    exchanged: Denoise | None = None,
) -> FloatArray:
    """Return the mean of `denoise` over the first 1, 2, 4 or 8 symmetries of the mosaic, (H, W) float32.

    The transpose swaps the two greens of Bayer. Their noise parameters are equal, so `denoise` needs no change.

    Parameters
    ----------
    denoise : (H, W) -> (H, W) float32 of whole cells; H and W grow by one cell where a symmetry shifts the CFA phase.
    mosaic : (H, W) float32, whole cells; not changed. cell : their canonical pattern.
    members : 1, 2, 4 or 8: the number of calls of `denoise` and `exchanged`.
    exchanged : as `denoise`, for mosaics in which R and B have traded places (`Symmetry.exchange`); None for `denoise`.

    Raises
    ------
    UsageError: for another number of members.
    """
    if members not in SYMMETRIES:
        raise UsageError(f"an ensemble of {members} is not possible. Choose one of {', '.join(map(str, SYMMETRIES))}.")
    first, *others = symmetries_of(cell, members)
    view, padding = first.apply(mosaic, cell)
    mean = first.undo(denoise(view), padding)
    if np.may_share_memory(mean, mosaic):
        mean = mean.copy()
    for count, symmetry in enumerate(others, start=2):
        view, padding = symmetry.apply(mosaic, cell)
        run = exchanged if exchanged and symmetry.exchange else denoise
        member = symmetry.undo(run(view), padding)
        for top in range(0, mean.shape[0], ROWS):
            rows = slice(top, top + ROWS)
            mean[rows] += (member[rows] - mean[rows]) / np.float32(count)
    return mean
