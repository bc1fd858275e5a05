"""Compiled tile shapes of all networks of a run, and how many of them wait for the next photo."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock
from typing import Any

SHAPES = 2
"""Most tile shapes that stay compiled, over all networks of a run, unless more are in use (our choice).

A shape keeps the activations of all its streams: about 11 bytes times the first width of the network for each packed
pixel of a tile and stream. With the shipped tiles that is 0.31 GB a stream for `fast`, 0.43 GB for `balanced` and
0.37 GB for `best`. A photo uses one shape, or two with a self-ensemble (upright and transposed tiles). Beyond one
photo, a batch of many sizes and of all four networks of `fast` then keeps one shape more: 0.6 to 0.9 GB with two
streams, 1.2 to 1.7 GB with four. A shape that comes again is loaded from the cache folder, in a fraction of a second.
"""


@dataclass
class _Slot:
    """One compiled shape: its idle infer requests, None until it is compiled."""

    streams: int
    lock: Lock = field(default_factory=Lock)
    requests: SimpleQueue[Any] | None = None

    @property
    def is_idle(self) -> bool:
        return self.requests is not None and self.requests.qsize() == self.streams


class CompiledShapes:
    """The last used shapes. A thread waits for another only if both need the same shape of the same network."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots: dict[Hashable, _Slot] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._slots

    def requests(self, key: Hashable, streams: int, compiled: Callable[[], SimpleQueue[Any]]) -> SimpleQueue[Any]:
        """Return the idle infer requests of a shape, one for each stream; `compiled` makes them if they are not there.

        A shape in use is never dropped: photos of many sizes in parallel would otherwise be compiled for every tile.

        Parameters
        ----------
        key : network and shape.
        """
        with self._lock:
            slot = self._slots.pop(key, None)
            if slot is None:
                slot = _Slot(streams)
                idle = [known for known, other in self._slots.items() if other.is_idle]
                for known in idle[: max(0, len(self._slots) + 1 - SHAPES)]:
                    del self._slots[known]
            self._slots[key] = slot
        with slot.lock:
            if slot.requests is None:
                try:
                    slot.requests = compiled()
                except BaseException:
                    with self._lock:
                        self._slots.pop(key, None)
                    raise
            return slot.requests
