"""Learning from groups of features: HADS, of another architecture at the same noise; HMDS, of one that sees less noise.

Source: MDRN, arXiv 2204.13873: L_RL + lambda * L_KDL, where L_KDL sums over the groups i = 2, 3, 4 the L1 distance of
the student's features to the teacher's. Of the weight of the two terms the paper says nothing. Our choice: lambda 0.1,
falling to 0 over the last fifth of a run; each group's distance is a mean over its elements in units of the rms of the
teacher's features of that crop, as the supervised losses are in units of that crop's noise. So features of 0
have a distance near 0.8 in every group, and an untouched crop a Charbonnier loss of 0.8, whatever the teacher's scale
and the crop's exposure: lambda means the same for all teachers. A teacher on anchored values sees weaker noise as
larger values, for it is more electrons; the student learns that scale.

HADS and HMDS are the paper's names. Where widths differ, a 1x1 convolution takes the student's features to the
teacher's width; where resolutions differ, the teacher's features are resized.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError, UsageError
from rawkd.training.data.dataset import Batch
from rawkd.training.data.synthesize import SAME_NOISE, NoiseShare
from rawkd.training.strategies.kind import Kind, Setting
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.taps import FeatureTaps
from rawkd.training.strategies.teacher import Teacher

GROUPS = 3
"""The last groups of a network, of which features are compared: the paper's 2, 3 and 4."""
RAMP = 0.2
"""Share of a run, its last, over which lambda falls to 0."""
LEAST_ENERGY = 1e-6
"""A crop's features count for no less than this share of their batch's mean square."""
NEIGHBOUR = "subrange"
"""In place of a noise ratio: the noise of the teacher's own subrange."""


@dataclass(frozen=True)
class GroupFeatures:
    """The supervised losses, and the distance of the student's groups to the teacher's.

    Attributes
    ----------
    student_taps : listen to the student. teacher : its layers tapped. weight : lambda.
    adapters : one a group. weaker_noise : that the teacher sees instead of the student's; None for the same noise.
    """

    teacher: Teacher
    student_taps: FeatureTaps
    supervised: Supervised
    adapters: nn.ModuleList
    weight: float
    weaker_noise: NoiseShare | None = None

    def step(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Weighted losses by name of one batch."""
        terms = self.supervised.step(student, batch, progress)
        own = [adapter(features) for adapter, features in zip(self.adapters, self.student_taps.take(), strict=True)]
        taught = self.teacher.features_of_noisy(self._shown(batch))
        distance = group_distance([features.float() for features in own], taught)
        return terms | {"features": self.weight * ramp(progress) * distance}

    def _shown(self, batch: Batch) -> Batch:
        """What the teacher sees of a batch."""
        if self.weaker_noise is None:
            return batch
        if batch.weaker is None:
            raise ValueError("a batch without the weaker noise that the strategy asks for")
        return batch.weaker


def ramp(progress: float) -> float:
    """1, falling to 0 over the last `RAMP` of a run."""
    return min(1.0, (1 - progress) / RAMP)


def group_distance(own: list[Tensor], taught: list[Tensor]) -> Tensor:
    """Sum over groups of mean |own - taught|, in units of each crop's rms of `taught`.

    Parameters
    ----------
    own : (n, c, h, w) a group. taught : (n, c, h', w') a group, resized to those of `own`.
    """
    distances = []
    for mine, seen in zip(own, taught, strict=True):
        theirs = _resized(seen, mine)
        energy = theirs.square().mean((1, 2, 3))
        rms = torch.maximum(energy, LEAST_ENERGY * energy.mean()).clamp(min=torch.finfo(energy.dtype).tiny).sqrt()
        distances.append(((mine - theirs).abs().mean((1, 2, 3)) / rms).mean())
    return torch.stack(distances).sum()


def _resized(features: Tensor, like: Tensor) -> Tensor:
    """Features at the resolution of others."""
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
            f"{len(own.names)} ({', '.join(own.names)}): name as many with --taps and --student-taps"
        )
    adapters = nn.ModuleList(
        nn.Identity() if mine == wanted else nn.Conv2d(mine, wanted, 1)
        for mine, wanted in zip(own.channels, theirs.channels, strict=True)
    ).to(setting.device)
    return GroupFeatures(teacher, own, setting.supervised(), adapters, setting.numbers["kd_lambda"], weaker)


def _chosen(names: tuple[str, ...], network: nn.Module) -> tuple[str, ...]:
    """The layers that were named, or the last groups of a network."""
    return tuple(names) or tuple(network.taps)[-GROUPS:]  # type: ignore[arg-type]


def _hads(setting: Setting) -> GroupFeatures:
    return _build(setting, None)


def _hmds(setting: Setting) -> GroupFeatures:
    ratio = setting.numbers["noise_ratio"]
    return _build(setting, _neighbour_noise(setting) if ratio == NEIGHBOUR else NoiseShare(ratio**-2, ratio**-2))


def _neighbour_noise(setting: Setting) -> NoiseShare:
    """From the student's anchor to the teacher's: what a noise of one subrange is in the next lower one."""
    own, card = setting.recipe.anchor(setting.subrange), setting.cards[0]
    if card.anchor.read_variance >= own.read_variance:
        raise UsageError(
            f"the teacher {card.name} is of no weaker noise than the student, as --noise-ratio {NEIGHBOUR} asks for: "
            "give a ratio, or another teacher"
        )
    read_share = card.anchor.read_variance / own.read_variance
    return NoiseShare(card.anchor.gain / own.gain if own.gain else read_share, read_share)


_NUMBERS = {"kd_lambda": 0.1, "taps": (), "student_taps": ()}
HADS = Kind(_hads, teachers=1, numbers=_NUMBERS)
HMDS = Kind(_hmds, teachers=1, numbers=_NUMBERS | {"noise_ratio": 2.0})
