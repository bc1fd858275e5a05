"""What a training step computes: one strategy a file.

A strategy is an object with `step(student, batch) -> {name: loss}`; teachers and projections are its own and never part
of the student.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from rawkd.training.dataset import Batch


class Strategy(Protocol):
    """What the loop asks of a strategy."""

    def step(self, student: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Weighted losses by name of one batch."""
        ...
