"""What a training step computes: one strategy a file.

A strategy is an object with `step(student, batch, progress) -> {name: loss}`; teachers and adapters are its own and
never part of the student.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.data.synthesize import NoiseShare


class Strategy(Protocol):
    """What the loop asks of a strategy."""

    @property
    def adapters(self) -> nn.Module | None:
        """Modules that are trained with the student and kept in checkpoints, never exported; or None."""
        ...

    @property
    def weaker_noise(self) -> NoiseShare | None:
        """Of the second noise that every batch's crops are to have besides (`Batch.weaker`); None for no second."""
        ...

    def step(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Weighted losses by name of one batch; `progress` is the share of the run's steps that are done, 0..1."""
        ...
