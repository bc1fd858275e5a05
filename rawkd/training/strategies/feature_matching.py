"""Feature matching: the teacher's features of the restored picture should equal those of the clean one.

Source: Feature-Align paper, section 3.2: the perceptual loss of Johnson et al. with the teacher instead of VGG16. Each
term is a distance (not its square) divided by the distance that the noise causes (our choice). Features grow with
exposure and Gram matrices with its square, so without this normalisation a few crops would dominate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import CONTENT_LAYER, STYLE_WEIGHT, gram, smooth_root
from rawkd.training.strategies.kind import Setting, StrategyKind
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.teacher import Teacher

CHARBONNIER_OF_NOISE = math.sqrt(2 / math.pi)
"""Charbonnier loss of noisy crops without denoising: mean absolute value of a standard normal variable."""
LEAST_NOISE = 1e-8
"""Lower limit of the energy of the noise in features, as a fraction of the features' energy."""


@dataclass(frozen=True)
class FeatureMatching:
    """The supervised losses plus content and style losses of the teacher's tapped features.

    Attributes
    ----------
    share : fraction of the feature loss in its sum with Charbonnier for noisy crops without denoising, 0 up to but not
        including 1. Its gradient is much larger than this fraction suggests: at 0.3 it was 10 to 40 times that of
        Charbonnier.
    """

    adapters = None
    weaker_noise = None

    teacher: Teacher
    supervised: Supervised
    share: float

    def step(self, student: nn.Module, batch: Batch, _progress: float) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name."""
        restored = student(batch.noisy).float()
        weight = self.share / (1 - self.share) * CHARBONNIER_OF_NOISE
        with torch.autocast(restored.device.type, enabled=False):  # small differences need more than bf16
            seen = self.teacher.features(restored, batch)
            with torch.no_grad():
                noisy, clean = (self.teacher.features(planes, batch) for planes in (batch.noisy, batch.clean))
            distance = content_and_style_of_noise(seen, noisy, clean)
        return self.supervised.terms(restored, batch) | {"feature-matching": weight * distance}


def content_and_style_of_noise(restored: list[Tensor], noisy: list[Tensor], clean: list[Tensor]) -> Tensor:
    """Return content of the third (or last) scale plus style of all, weights of Johnson et al.; 1 for noisy crops."""
    layer = min(CONTENT_LAYER, len(clean) - 1)
    content = _in_units_of_noise(restored[layer], noisy[layer], clean[layer])
    grams = [[gram(features) for features in scales] for scales in (restored, noisy, clean)]
    style = torch.stack([_in_units_of_noise(*scale) for scale in zip(*grams, strict=True)]).sum()
    return (content + STYLE_WEIGHT * style) / (1 + STYLE_WEIGHT * len(clean))


def _in_units_of_noise(restored: Tensor, noisy: Tensor, clean: Tensor) -> Tensor:
    """Return the mean over crops of |restored - clean| / |noisy - clean|, Euclidean."""
    error, noise, energy = ((x * x).flatten(1).sum(1) for x in (restored - clean, noisy - clean, clean))
    ratio = error / torch.maximum(noise, LEAST_NOISE * energy)
    return smooth_root(ratio).mean()


def _build(setting: Setting) -> FeatureMatching:
    teacher = setting.teacher()
    teacher.tap(tuple(setting.numbers["taps"]))
    return FeatureMatching(teacher, setting.supervised(), setting.numbers["feature_share"])


FEATURE_MATCHING = StrategyKind(_build, teachers=1, numbers={"feature_share": 0.02, "taps": ()})
