"""The interface of whatever runs a network."""

from __future__ import annotations

from typing import Protocol

from rawkd.photo import FloatArray


class Engine(Protocol):
    """A network on a device.

    Attributes
    ----------
    device : cpu | cuda | mps. precision : f32 | bf16 | fp16, of the arithmetic; values in and out are float32.
    streams : how many calls of `run` may be in flight at once, from different threads.
    identity : device, driver and versions, one line: what a self-test holds for.
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
