"""Simple distillation: the student answers what the teacher answers.

Source: Feature-Align paper, eq. 4. The share of the true picture in the loss is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from rawkd.training.dataset import Batch
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.teacher import Teacher


@dataclass(frozen=True)
class Response:
    """alpha * |student - teacher| + (1 - alpha) * the supervised losses, in units of each crop's rms noise.

    Attributes
    ----------
    alpha : 0..1; 1 is eq. 4 alone.
    """

    teacher: Teacher
    supervised: Supervised
    alpha: float

    def step(self, student: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Weighted losses by name of one batch."""
        restored = student(batch.noisy).float()
        label = self.teacher.restore(batch.noisy, batch)
        distance = ((restored - label).abs() / batch.sigma[:, None, None, None]).mean()
        supervised = self.supervised.terms(restored, batch) if self.alpha < 1 else {}
        return {name: (1 - self.alpha) * term for name, term in supervised.items()} | {
            "response": self.alpha * distance
        }
