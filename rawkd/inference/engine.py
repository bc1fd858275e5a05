"""The interface of engines, which run a network on a device, and what the errors of their libraries say."""

from __future__ import annotations

from typing import Protocol

from rawkd.photo import FloatArray

ON_CPU = "use --device cpu"
OTHER_DEVICE = "choose another --device"
"""Advice of errors of a GPU."""

POSITIONS = ("Exception from ", "Check '", "While validating node ")
"""Beginnings of the lines in which OpenVINO names its own source; the reason follows."""


class Engine(Protocol):
    """A network on a device.

    Attributes
    ----------
    device : cpu | gpu | cuda | mps. precision : f32 | bf16 | fp16 | int8 | int8+bf16 | int7, of the
        arithmetic; inputs and outputs are float32.
    streams : number of threads that may call `run` at once.
    identity : device and versions in one line; on a CPU, a self-test is valid for one identity.
    """

    device: str
    precision: str
    streams: int
    identity: str

    def run(self, planes: FloatArray) -> FloatArray:
        """(n, c, h, w) anchored values -> the same shape, float32; c and the multiple of h and w are those of the card.

        A network for pictures takes and gives (n, 1, h, w) grey or (n, 3, h, w) sRGB, white 1.
        """
        ...


def reason_of(error: Exception) -> str:
    """Return the line of a message that says what went wrong, else the name of the error.

    It is the first line that is not empty; OpenVINO puts positions in its own source before it.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith(POSITIONS)]
    return next(iter([*reasons, *lines[-1:]]), type(error).__name__)
