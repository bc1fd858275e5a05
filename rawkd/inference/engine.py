"""The interface of engines, which run a network on a device."""

from __future__ import annotations

from typing import Protocol

from rawkd.photo import FloatArray


class Engine(Protocol):
    """A network on a device.

    Attributes
    ----------
    device : cpu | gpu | cuda | mps. precision : f32 | bf16 | fp16, of the arithmetic; inputs and outputs are float32.
    streams : number of threads that may call `run` at once.
    identity : device and versions in one line; on a CPU, a self-test is valid for one identity.
    """

    device: str
    precision: str
    streams: int
    identity: str

    def run(self, planes: FloatArray) -> FloatArray:
        """(n, 4, h, w) anchored values -> the same shape, float32; h and w are multiples of the card's stride.

        A network for pictures takes and gives (n, 1, h, w) grey or (n, 3, h, w) sRGB, white 1.
        """
        ...
