"""Training strategies, one per file: how the losses of a step are computed.

A strategy has a method `step(student, batch, progress) -> {name: loss}`. Teachers and adapters belong to the strategy,
never to the student.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.data.synthesize import NoiseShare


class Strategy(Protocol):
    """The interface that the training loop uses."""

    @property
    def adapters(self) -> nn.Module | None:
        """Modules that are trained with the student and saved in checkpoints but not exported; or None."""
        ...

    @property
    def weaker_noise(self) -> NoiseShare | None:
        """The second, weaker noise that the strategy needs in every batch (`Batch.weaker`); or None."""
        ...

    @property
    def supervised(self) -> Strategy:
        """The supervised losses alone, whose `step` takes any network; the strategy itself if it has no others."""
        ...

    def step(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name; `progress` is the finished fraction of the run, 0..1."""
        ...
