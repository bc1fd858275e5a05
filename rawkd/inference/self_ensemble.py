"""Self-ensemble: average the results for flipped and transposed copies of the mosaic.

Source: the x8 ensemble of the NTIRE 2020 raw winner. After every flip we shift the mosaic back to RGGB, because our
networks are trained on RGGB only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import FloatArray
from rawkd.sensor.cfa import SYMMETRIES

ROWS = 512


def self_ensemble(denoise: Callable[[FloatArray], FloatArray], rggb: FloatArray, members: int) -> FloatArray:
    """Return the mean of `denoise` over the first 1, 2, 4 or 8 symmetries of the mosaic, (H, W) float32.

    The transpose swaps the two greens. Their noise parameters are equal, so `denoise` needs no change.

    Parameters
    ----------
    denoise : (H, W) -> (H, W) float32 for even-sized RGGB; H and W grow by 2 where a flip shifts the CFA phase.
    rggb : (H, W) float32, even-sized RGGB; not changed.
    members : 1, 2, 4 or 8: the number of calls of `denoise`.

    Raises
    ------
    UsageError: for another number of members.
    """
    if members not in SYMMETRIES:
        raise UsageError(f"an ensemble of {members} is not possible. Choose one of {', '.join(map(str, SYMMETRIES))}.")
    first, *others = SYMMETRIES[members]
    view, padding = first.apply(rggb)
    mean = first.undo(denoise(view), padding).copy()
    for count, symmetry in enumerate(others, start=2):
        view, padding = symmetry.apply(rggb)
        member = symmetry.undo(denoise(view), padding)
        for top in range(0, mean.shape[0], ROWS):
            rows = slice(top, top + ROWS)
            mean[rows] += (member[rows] - mean[rows]) / np.float32(count)
    return mean
