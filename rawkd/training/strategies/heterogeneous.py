"""HADS and HMDS: distillation of feature groups, from another architecture (HADS) or from less noise (HMDS).

Source: MDRN, arXiv 2204.13873, with the paper's names. The loss is L_RL + lambda * L_KDL, where L_KDL is the sum over
the groups i = 2, 3, 4 of the L1 distance between student and teacher features. The paper does not state the weights.

Our choices: lambda is 0.1 and falls to 0 over the last fifth of a run. The distance of a group is the mean over its
elements, in units of the rms of the teacher's features of that crop; the supervised losses are in units of the crop's
noise. Features of 0 then have a distance near 0.8 in every group, and a crop without denoising has a Charbonnier loss
of 0.8. So lambda means the same for all teachers and exposures. For a teacher on anchored values, weaker noise means
more electrons and thus larger values; the student learns that scale.

If widths differ, a 1x1 convolution converts the student's features to the teacher's width. If resolutions differ, the
teacher's features are resized.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError, UsageError
from rawkd.training.data.dataset import Batch
from rawkd.training.data.synthesize import SAME_NOISE, NoiseShare
from rawkd.training.strategies.kind import Setting, StrategyKind
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.taps import FeatureTaps
from rawkd.training.strategies.teacher import Teacher

GROUPS = 3
"""Number of groups, counted from the last one, whose features are compared: 2, 3 and 4 in the paper."""
RAMP = 0.2
"""Final fraction of a run in which lambda falls to 0."""
LEAST_ENERGY = 1e-6
"""Lower limit of the mean square of a crop's features, as a fraction of that of the batch."""
NEIGHBOUR = "subrange"
"""Value of the noise ratio that stands for the noise of the teacher's own subrange."""


@dataclass(frozen=True)
class GroupFeatures:
    """The supervised losses plus the distance between the feature groups of student and teacher.

    Attributes
    ----------
    teacher : with taps. student_taps : record the student's features. weight : lambda.
    adapters : one per group. weaker_noise : noise of the teacher's input; None: the same as the student's.
    """

    teacher: Teacher
    student_taps: FeatureTaps
    supervised: Supervised
    adapters: nn.ModuleList
    weight: float
    weaker_noise: NoiseShare | None = None

    def step(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name."""
        theirs = self.teacher.features_of_noisy(self._teacher_batch(batch))  # before the student holds its graph
        terms = self.supervised.step(student, batch, progress)
        own = [adapter(features) for adapter, features in zip(self.adapters, self.student_taps.take(), strict=True)]
        distance = group_distance([features.float() for features in own], theirs)
        return terms | {"features": self.weight * ramp(progress) * distance}

    def _teacher_batch(self, batch: Batch) -> Batch:
        """Return the batch for the teacher."""
        if self.weaker_noise is None:
            return batch
        if batch.weaker is None:
            raise ValueError("the batch has no weaker noise, which the strategy needs")
        return batch.weaker


def ramp(progress: float) -> float:
    """Return the factor of lambda: 1, falling linearly to 0 over the last `RAMP` of a run."""
    return min(1.0, (1 - progress) / RAMP)


def group_distance(own: list[Tensor], target: list[Tensor]) -> Tensor:
    """Return the sum over groups of mean |own - target|, in units of the rms of `target` in each crop.

    Parameters
    ----------
    own : student features, (n, c, h, w) per group. target : teacher features, (n, c, h', w') per group; they are
        resized to the size of `own`.
    """
    distances = []
    for mine, unsized in zip(own, target, strict=True):
        theirs = _resized(unsized, mine)
        energy = theirs.square().mean((1, 2, 3))
        rms = torch.maximum(energy, LEAST_ENERGY * energy.mean()).clamp(min=torch.finfo(energy.dtype).tiny).sqrt()
        distances.append(((mine - theirs).abs().mean((1, 2, 3)) / rms).mean())
    return torch.stack(distances).sum()


def _resized(features: Tensor, like: Tensor) -> Tensor:
    """Return features at the resolution of `like`."""
    if features.shape[2:] == like.shape[2:]:
        return features
    return F.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False, antialias=True)


def _build(setting: Setting, weaker: NoiseShare | None) -> GroupFeatures:
    teacher = setting.teacher(noise=weaker or SAME_NOISE)
    teacher.tap(_chosen(setting.numbers["taps"], teacher.network))
    own = FeatureTaps(setting.student, _chosen(setting.numbers["student_taps"], setting.student), owner="the student")
    theirs = teacher.taps
    if len(own.names) != len(theirs.names):
        raise ModelError(
            f"{teacher.title} is tapped at {len(theirs.names)} layers ({', '.join(theirs.names)}) and the student at "
            f"{len(own.names)} ({', '.join(own.names)}). Give equal numbers with --taps and --student-taps."
        )
    adapters = nn.ModuleList(
        nn.Identity() if mine == wanted else nn.Conv2d(mine, wanted, 1)
        for mine, wanted in zip(own.channels, theirs.channels, strict=True)
    ).to(setting.device)
    return GroupFeatures(teacher, own, setting.supervised(), adapters, setting.numbers["kd_lambda"], weaker)


def _chosen(names: tuple[str, ...], network: nn.Module) -> tuple[str, ...]:
    """Return the given layers, or the last groups of the network if none are given."""
    return tuple(names) or tuple(network.taps)[-GROUPS:]  # type: ignore[arg-type]


def _hads(setting: Setting) -> GroupFeatures:
    return _build(setting, None)


def _hmds(setting: Setting) -> GroupFeatures:
    ratio = setting.numbers["noise_ratio"]
    return _build(setting, _neighbour_noise(setting) if ratio == NEIGHBOUR else NoiseShare(ratio**-2, ratio**-2))


def _neighbour_noise(setting: Setting) -> NoiseShare:
    """Return the teacher's noise as fractions of the student's: the ratios of their anchors."""
    own, card = setting.recipe.anchor(setting.subrange), setting.cards[0]
    if card.anchor.read_variance >= own.read_variance:
        raise UsageError(
            f"the teacher {card.name} is not for weaker noise than the student, which --noise-ratio {NEIGHBOUR} needs. "
            "Give a number, or another teacher."
        )
    read_share = card.anchor.read_variance / own.read_variance
    return NoiseShare(card.anchor.gain / own.gain if own.gain else read_share, read_share)


_NUMBERS = {"kd_lambda": 0.1, "taps": (), "student_taps": ()}
HADS = StrategyKind(_hads, teachers=1, numbers=_NUMBERS)
HMDS = StrategyKind(_hmds, teachers=1, numbers=_NUMBERS | {"noise_ratio": 2.0})
