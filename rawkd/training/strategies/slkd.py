"""SLKD: the encoder learns from a teacher with noisy input, the decoder from a teacher with clean input.

Source: Zhang and Yan, arXiv 2501.09268. Its abstract names the parts; equations, layers and weights are not available,
so they are our choice.

- Degradation removal learning (DRL) compares the encoder levels of the student with those of teacher A, by statistics
  like those of BRISQUE (`nc`).
- Image reconstruction learning (IRL) compares its decoder levels with those of teacher B, by the block tests of PIQE
  (`et`).
- Scale conversion modules, which are trained with the student, convert its features to the teacher's width and size.
- The loss also contains the recipe's losses, the distance to A's output (`img`) and a divergence of luminance (`kl`).

Outputs are compared in units of each crop's rms noise, like in all our losses. The divergence is divided by that of the
noise and its root is taken, so that it falls linearly. Features need no unit, because they are standardised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError, UsageError
from rawkd.training.data.dataset import Batch
from rawkd.training.losses.blockiness import block_tests
from rawkd.training.losses.divergence import divergence_of_noise
from rawkd.training.losses.mscn import standardise
from rawkd.training.losses.naturalness import natural_statistics
from rawkd.training.losses.terms import absolute_error
from rawkd.training.strategies.kind import Setting, StrategyKind
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.taps import FeatureTaps
from rawkd.training.strategies.teacher import Teacher

PARTS = ("drl", "irl", "nc", "et", "img", "kl")
"""Parts that can be left out. Without `nc` or `et`, the standardised features are compared directly."""
OF_OUTPUT = ("img", "kl")
"""Parts that compare the outputs of student and A."""
LEVELS = 3
"""Largest number of levels of encoder and decoder that are compared, from the finest."""
WEIGHTS = (0.5, 0.1, 0.05, 0.05)
"""Default weights of `img`, `kl`, `nc` and `et`, relative to the recipe's losses."""

Extract = Callable[[Tensor], Tensor]


class ScaleConversion(nn.Module):
    """Converts student features to a teacher's width (1x1 convolution without bias) and size (bilinear)."""

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(channels, wanted, 1, bias=False)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        """Return features of shape (n, wanted, *size) for an input of (n, channels, h, w)."""
        wide: Tensor = self.widen(features)
        return wide if wide.shape[2:] == size else F.interpolate(wide, size, mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Branch:
    """Comparison of the encoder or the decoder of the student with a teacher.

    Attributes
    ----------
    term : name of the loss. teacher : with taps. taps : record the student's features.
    conversions : a `ScaleConversion` per level.
    extract : computes what is compared from features, (n, c, h, w) -> any shape.
    """

    term: str
    teacher: Teacher
    taps: FeatureTaps
    conversions: nn.ModuleList
    extract: Extract

    def distance(self, target: list[Tensor]) -> Tensor:
        """Return the sum over levels of the mean absolute difference between the student's and a teacher's features."""
        own = self.taps.take()
        with torch.autocast(target[0].device.type, enabled=False):  # small differences need more than bf16
            converted = [
                conversion(mine.float(), theirs.shape[2:])
                for conversion, mine, theirs in zip(self.conversions, own, target, strict=True)
            ]
            distances = [
                (self.extract(mine) - self.extract(theirs)).abs().mean()
                for mine, theirs in zip(converted, target, strict=True)
            ]
            return torch.stack(distances).sum()


@dataclass(frozen=True)
class SimultaneousLearning:
    """The recipe's losses plus the weighted parts that are not left out.

    Attributes
    ----------
    weights : by name of the parts in use. noisy_teacher : A; None if no part needs it.
    encoder, decoder : of A and B; None without DRL or IRL. adapters : their scale conversion modules.
    """

    weaker_noise = None

    supervised: Supervised
    weights: dict[str, float]
    noisy_teacher: Teacher | None
    encoder: Branch | None
    decoder: Branch | None
    adapters: nn.Module | None

    def step(self, student: nn.Module, batch: Batch, _progress: float) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name."""
        output, features = self._of_noisy(batch)  # first: no teacher's activations stand beside the student's
        with torch.no_grad():
            wanted = [] if self.decoder is None else self.decoder.teacher.features(batch.clean, batch)
        restored = student(batch.noisy).float()
        parts: dict[str, Tensor] = {}
        if self.encoder is not None:
            parts[self.encoder.term] = self.encoder.distance(features)
        if output is not None and "img" in self.weights:
            parts["img"] = absolute_error(restored, output, batch)
        if output is not None and "kl" in self.weights:
            parts["kl"] = divergence_of_noise(restored, output, batch)
        if self.decoder is not None:
            parts[self.decoder.term] = self.decoder.distance(wanted)
        terms = self.supervised.terms(restored, batch)
        return terms | {name: self.weights[name] * part for name, part in parts.items()}

    def _of_noisy(self, batch: Batch) -> tuple[Tensor | None, list[Tensor]]:
        """Return the output and the tapped features of A for the noisy crops; None and [] for what no part needs."""
        if self.noisy_teacher is None:
            return None, []
        if self.encoder is None:
            return self.noisy_teacher.restore(batch.noisy, batch), []
        if self.weights.keys().isdisjoint(OF_OUTPUT):
            return None, self.noisy_teacher.features_of_noisy(batch)
        return self.noisy_teacher.restore_and_features(batch.noisy, batch)


def _build(setting: Setting) -> SimultaneousLearning:
    left_out = _left_out(setting.numbers["without"])
    image, divergence, naturalness, blocks = setting.numbers["slkd_weights"]
    weights = {"img": image, "kl": divergence, "nc": naturalness, "drl": naturalness, "et": blocks, "irl": blocks}
    used = {name: weights[name] for name in OF_OUTPUT if name not in left_out}
    needs_noisy, needs_clean = bool(used) or "drl" not in left_out, "irl" not in left_out
    if len(setting.cards) > needs_noisy + needs_clean:
        raise UsageError("more teachers were given than the parts need. Leave out fewer parts, or give one teacher.")
    encoder = decoder = None
    noisy = setting.teacher(0) if needs_noisy else None
    clean = setting.teacher(len(setting.cards) - 1) if needs_clean else None
    if noisy is not None and "drl" not in left_out:
        plain = "nc" in left_out
        extract = standardise if plain else natural_statistics
        encoder = _branch(setting, noisy, "drl" if plain else "nc", encoder_levels, extract)
    if clean is not None:
        plain = "et" in left_out
        extract = standardise if plain else block_tests
        decoder = _branch(setting, clean, "irl" if plain else "et", decoder_levels, extract)
    sides = {name: side for name, side in (("encoder", encoder), ("decoder", decoder)) if side is not None}
    used |= {side.term: weights[side.term] for side in sides.values()}
    adapters = nn.ModuleDict({name: side.conversions for name, side in sides.items()}) if sides else None
    return SimultaneousLearning(setting.supervised(), used, noisy, encoder, decoder, adapters)


def _left_out(names: tuple[str, ...]) -> set[str]:
    for name in names:
        if name not in PARTS:
            raise UsageError(f"the strategy slkd has no part {name!r}. Its parts are {', '.join(PARTS)}.")
    for part, whole in (("nc", "drl"), ("et", "irl")):
        if part in names and whole in names:
            raise UsageError(f"{part} is a part of {whole}. Give only one of them.")
    return set(names)


def encoder_levels(network: nn.Module) -> tuple[str, ...]:
    """Return the names of a network's encoder levels, finest first, at most three."""
    decoder = decoder_levels(network)
    return tuple(name for name in network.taps if name not in decoder)[:LEVELS]  # type: ignore[union-attr]


def decoder_levels(network: nn.Module) -> tuple[str, ...]:
    """Return the names of a network's decoder levels, finest first, at most three."""
    return tuple(reversed(network.decoder_taps))[:LEVELS]  # type: ignore[arg-type]


def _branch(
    setting: Setting, teacher: Teacher, term: str, levels: Callable[[nn.Module], tuple[str, ...]], extract: Extract
) -> Branch:
    """Return a branch for the finest levels that student and teacher both have."""
    own, theirs = levels(setting.student), levels(teacher.network)
    count = min(len(own), len(theirs))
    if not count:
        raise ModelError(f"{teacher.title} and the student have no levels in common for {term}. Leave it out.")
    teacher.tap(theirs[:count])
    taps = FeatureTaps(setting.student, own[:count], owner="the student")
    conversions = [
        ScaleConversion(mine, wanted) for mine, wanted in zip(taps.channels, teacher.taps.channels, strict=True)
    ]
    return Branch(term, teacher, taps, nn.ModuleList(conversions).to(setting.device), extract)


SLKD = StrategyKind(_build, teachers=2, optional=1, numbers={"without": (), "slkd_weights": WEIGHTS})
