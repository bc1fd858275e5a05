"""Self-ensemble: the mean of what the student says of the mosaic's symmetric views.

Source: the x8 ensemble of the NTIRE 2020 raw winner, here with re-unification after every flip, since our students know
RGGB alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rawkd.errors import UsageError
from rawkd.photo import FloatArray
from rawkd.sensor.bayer import SYMMETRIES

ROWS = 512


def self_ensemble(denoise: Callable[[FloatArray], FloatArray], rggb: FloatArray, members: int) -> FloatArray:
    """The running mean of `denoise` over the first 1, 2, 4 or 8 exact symmetries of the mosaic.

    The transpose swaps the two greens; their noise parameters are equal, so `denoise` need not be told.

    Parameters
    ----------
    denoise : (H, W) -> (H, W) float32 on even-sized RGGB; H and W may grow by 2 where a flip moves the phase.
    rggb : (H, W) float32, even-sized RGGB; not changed.
    members : 1, 2, 4 or 8; the cost is that many calls.

    Raises
    ------
    UsageError: for another number of members.
    """
    if members not in SYMMETRIES:
        raise UsageError(f"an ensemble of {members}: choose one of {', '.join(map(str, SYMMETRIES))}")
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
