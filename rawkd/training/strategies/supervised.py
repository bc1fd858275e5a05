"""Supervised training with the clean picture as target."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import Loss


@dataclass(frozen=True)
class Supervised:
    """Weighted losses between the student's output and the clean picture."""

    adapters = None
    weaker_noise = None

    losses: dict[str, tuple[float, Loss]]

    @property
    def supervised(self) -> Supervised:
        """These losses themselves."""
        return self

    def step(self, student: nn.Module, batch: Batch, _progress: float) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name; training minimises their sum."""
        return self.terms(student(batch.noisy).float(), batch)

    def terms(self, restored: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted losses by name of the student's output `restored`, (n, c, h, w) anchored values."""
        return {name: weight * loss(restored, batch.clean, batch) for name, (weight, loss) in self.losses.items()}
