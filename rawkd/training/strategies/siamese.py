"""Pseudo-labels of two networks: the student answers the mean of what both answer.

Source: the NTIRE 2020 raw winner averaged an original and a siamese network and trained on their averages; its loss is
not stated. Ours: w |student - label| + (1 - w) the supervised losses, w on a line from its first to its second value.
A student ends nearer to its teachers than it began, when it can follow them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.strategies.kind import Kind, Setting
from rawkd.training.strategies.response import shared_out
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.teacher import Teacher

NUM_TEACHERS = 2


@dataclass(frozen=True)
class Siamese:
    """w * |student - mean of the teachers| + (1 - w) * the supervised losses, in units of each crop's rms noise.

    Attributes
    ----------
    share : w at the start of a run and at its end, 0..1.
    """

    adapters = None
    weaker_noise = None

    teachers: tuple[Teacher, ...]
    supervised: Supervised
    share: tuple[float, float]

    def step(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Weighted losses by name of one batch."""
        restored = student(batch.noisy).float()
        first, last = self.share
        return shared_out(restored, self.label(batch), batch, self.supervised, first + (last - first) * progress)

    def label(self, batch: Batch) -> Tensor:
        """The mean of the teachers' answers, (n, 4, h, w) anchored values: that of the signal, on another scale."""
        return torch.stack([teacher.restore(batch.noisy, batch) for teacher in self.teachers]).mean(0)


def _build(setting: Setting) -> Siamese:
    ensemble = setting.numbers["ensemble"]
    teachers = tuple(setting.teacher(index, ensemble=ensemble) for index in range(NUM_TEACHERS))
    first, last = setting.numbers["label_share"]
    return Siamese(teachers, setting.supervised(), (first, last))


SIAMESE = Kind(_build, teachers=NUM_TEACHERS, numbers={"label_share": (0.5, 0.7), "ensemble": 1})
