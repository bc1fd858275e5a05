"""Response distillation: the student's output should equal the teacher's.

Source: Feature-Align paper, eq. 4. Adding the supervised losses is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import absolute_error
from rawkd.training.strategies.kind import Setting, StrategyKind
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.teacher import Teacher


@dataclass(frozen=True)
class Response:
    """alpha * |student - teacher| + (1 - alpha) * the supervised losses, in units of each crop's rms noise.

    Attributes
    ----------
    alpha : 0..1; 1 is eq. 4 alone.
    """

    adapters = None
    weaker_noise = None

    teacher: Teacher
    supervised: Supervised
    alpha: float

    def step(self, student: nn.Module, batch: Batch, _progress: float) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name."""
        label = self.teacher.restore(batch.noisy, batch)  # first: its activations never stand beside the student's
        return losses_with_label(student(batch.noisy).float(), label, batch, self.supervised, self.alpha)


def losses_with_label(
    restored: Tensor, label: Tensor, batch: Batch, supervised: Supervised, alpha: float
) -> dict[str, Tensor]:
    """Return alpha * |restored - label| (in units of each crop's rms noise) and (1 - alpha) * the supervised losses."""
    distance = absolute_error(restored, label, batch)
    terms = supervised.terms(restored, batch) if alpha < 1 else {}
    return {name: (1 - alpha) * term for name, term in terms.items()} | {"response": alpha * distance}


def _build(setting: Setting) -> Response:
    teacher = setting.teacher(ensemble=setting.numbers["ensemble"])
    return Response(teacher, setting.supervised(), setting.numbers["kd_alpha"])


RESPONSE = StrategyKind(_build, teachers=1, numbers={"kd_alpha": 0.5, "ensemble": 1})
