"""An engine for libraries that compile a network for each tile shape and run it on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np

from rawkd.errors import ModelError, RawkdError
from rawkd.inference.engine import ON_CPU, reason_of
from rawkd.photo import FloatArray

Run = Callable[[FloatArray], FloatArray]
"""A compiled network: (n, c, h, w) float32 of one shape -> the same shape."""

SHAPES = 4
"""Most tile shapes that stay compiled (our choice): upright and transposed tiles of photos of two sizes."""


class CompiledEngine:
    """A network on a GPU, compiled for each tile shape.

    One tile runs at a time. Two threads may call `run`, so that one tile is packed while the network runs on the other.
    """

    streams = 2

    def __init__(
        self, device: str, precision: str, identity: str, compile_for: Callable[[tuple[int, ...]], Run]
    ) -> None:
        """Compile nothing yet.

        Parameters
        ----------
        device, precision, identity : as in `Engine`.
        compile_for : (n, c, h, w) -> the network for this shape. It and the network may raise anything.
        """
        self.device, self.precision, self.identity = device, precision, identity
        self._compile_for = compile_for
        self._lock = Lock()
        self._compiled: dict[tuple[int, ...], Run] = {}

    def run(self, planes: FloatArray) -> FloatArray:
        """(n, c, h, w) anchored values -> the same shape, float32; c and the multiple of h and w are those of the card.

        Raises
        ------
        ModelError: if the device fails, or returns another shape or values that are not finite.
        """
        try:
            with self._lock:
                restored = self._for_shape(planes.shape)(np.ascontiguousarray(planes))
        except RawkdError:
            raise
        except Exception as error:  # each library has exceptions of its own
            reason = f"the network fails on {self.identity} ({reason_of(error)})"
            raise ModelError(reason, ON_CPU) from error
        return checked(restored, planes.shape, self.identity)

    def _for_shape(self, shape: tuple[int, ...]) -> Run:
        """Return the network for a shape; the last used shapes stay compiled."""
        run = self._compiled.pop(shape, None) or self._compile_for(shape)
        self._compiled[shape] = run
        if len(self._compiled) > SHAPES:
            del self._compiled[next(iter(self._compiled))]
        return run


def checked(restored: FloatArray, shape: tuple[int, ...], identity: str) -> FloatArray:
    """Return the output of a GPU after checking it: drivers and 16-bit formats may give infinities instead of an error.

    Raises
    ------
    ModelError: if it has another shape than `shape`, or values that are not finite.
    """
    if restored.shape != shape:
        raise ModelError(
            f"{identity} returned shape {restored.shape}, expected {shape}. The model does not match its card: export "
            "it again."
        )
    if not np.isfinite(restored).all():
        raise ModelError(f"{identity} returned values that are not finite", ON_CPU, "update the driver")
    return restored
