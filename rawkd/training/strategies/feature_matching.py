"""Feature matching: to the teacher, the student's picture looks like the true one.

Source: Feature-Align paper, section 3.2: the perceptual loss of Johnson et al. with the teacher in place of VGG16, its
activations on the restored picture against those on the true one. Its weight in the sum is our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.training.dataset import Batch
from rawkd.training.losses import charbonnier, content_and_style
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.teacher import Teacher


@dataclass(frozen=True)
class FeatureMatching:
    """The supervised losses and `weight` times content and style of the teacher's tapped features."""

    teacher: Teacher
    supervised: Supervised
    weight: float

    @classmethod
    def calibrated(cls, teacher: Teacher, supervised: Supervised, batch: Batch, share: float) -> FeatureMatching:
        """With the weight at which features are `share` of their sum with Charbonnier on untouched noisy crops.

        A student begins there; how large features are is a matter of the teacher.
        """
        with torch.no_grad():
            pixels = charbonnier(batch.noisy, batch.clean, batch)
            features = _distance(teacher, batch.noisy, batch)
        return cls(teacher, supervised, share / (1 - share) * float(pixels / features))

    def step(self, student: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Weighted losses by name of one batch."""
        restored = student(batch.noisy).float()
        seen = self.weight * _distance(self.teacher, restored, batch)
        return self.supervised.terms(restored, batch) | {"feature-matching": seen}


def _distance(teacher: Teacher, restored: Tensor, batch: Batch) -> Tensor:
    with torch.autocast(restored.device.type, enabled=False):  # Gram matrices and small differences need more than bf16
        seen = teacher.features(restored, batch)
        with torch.no_grad():
            expected = teacher.features(batch.clean, batch)
        return content_and_style(seen, expected)
