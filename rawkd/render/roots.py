"""The scale on which colours are interpolated: the root of signal.

Demosaicing takes the difference of two colours for constant across an edge. From light to shadow their ratio is
constant; the difference of their roots nearly is. The root is that of the signal plus a small constant, with the
tangent below 0: a steeper root would shift the colours of noise near black. Our choice (docs/accuracy.md#demosaicing).
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import FloatArray

ADDED = 3e-3
"""Signal that is added before the root."""
LOWEST = np.float32(np.sqrt(ADDED))
"""Root of signal 0."""


def to_roots(signal: FloatArray) -> FloatArray:
    """Return the roots of signal, float32 of the same shape; `to_signal` is the inverse."""
    lit = np.maximum(signal, 0)
    roots: FloatArray = np.sqrt(lit + np.float32(ADDED))
    if signal.min(initial=0) < 0:
        roots += (signal - lit) / (2 * LOWEST)
    return roots


def to_signal(roots: FloatArray) -> FloatArray:
    """Return the signal of roots, in place."""
    below = np.minimum(roots - LOWEST, 0) if roots.min(initial=LOWEST) < LOWEST else None
    if below is not None:
        roots -= below
    roots *= roots
    roots -= np.float32(ADDED)
    if below is not None:
        roots += below * (2 * LOWEST)
    return roots
