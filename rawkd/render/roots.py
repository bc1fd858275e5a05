"""The scale on which colours are interpolated: the root of signal.

Demosaicing takes the difference of two colours for constant across an edge. From light to shadow their ratio is
constant; the difference of their roots nearly is. A constant is added before the root and its root taken off, and
negative signal has the negative root: a steeper curve at black would amplify noise that is left there and shift its
colours. Our choice (docs/accuracy.md#demosaicing).
"""

from __future__ import annotations

import numpy as np

from rawkd.photo import FloatArray

ADDED = 3e-3
"""Signal that is added before the root."""


def to_roots(signal: FloatArray, added: float = ADDED) -> FloatArray:
    """Return the roots of signal, float32 of the same shape; `to_signal` is the inverse."""
    roots = np.abs(signal)
    roots += np.float32(added)
    np.sqrt(roots, out=roots)
    roots -= np.float32(np.sqrt(added))
    return np.copysign(roots, signal, out=roots)


def to_signal(roots: FloatArray, added: float = ADDED) -> FloatArray:
    """Return the signal of roots, float32 of the same shape."""
    signal = np.abs(roots)
    signal += np.float32(np.sqrt(added))
    signal *= signal
    signal -= np.float32(added)
    return np.copysign(signal, roots, out=signal)
