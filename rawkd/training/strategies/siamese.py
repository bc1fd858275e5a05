"""Pseudo-labels from two networks: the label of the student is the mean of both outputs.

Source: the NTIRE 2020 raw winner averaged an original and a siamese network and trained on the averages; its loss is
not stated. Ours is w |student - label| + (1 - w) * the supervised losses. w changes linearly over the run; by default
it grows, as the student becomes able to follow its teachers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.strategies.kind import Setting, StrategyKind
from rawkd.training.strategies.response import losses_with_label
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
        """Return the weighted losses of a batch by name."""
        label = self.label(batch)  # first: the teachers' activations never stand beside the student's
        first, last = self.share
        share = first + (last - first) * progress
        return losses_with_label(student(batch.noisy).float(), label, batch, self.supervised, share)

    def label(self, batch: Batch) -> Tensor:
        """Return the mean of the teachers' outputs, (n, planes, h, w) anchored values.

        k-sigma is affine, so this equals the mean of the signals.
        """
        return torch.stack([teacher.restore(batch.noisy, batch) for teacher in self.teachers]).mean(0)


def _build(setting: Setting) -> Siamese:
    ensemble = setting.numbers["ensemble"]
    teachers = tuple(setting.teacher(index, ensemble=ensemble) for index in range(NUM_TEACHERS))
    first, last = setting.numbers["label_share"]
    return Siamese(teachers, setting.supervised(), (first, last))


SIAMESE = StrategyKind(_build, teachers=NUM_TEACHERS, numbers={"label_share": (0.5, 0.7), "ensemble": 1})
