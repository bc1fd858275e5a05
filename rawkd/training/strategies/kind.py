"""Description of a kind of strategy, and the inputs to build one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rawkd.training.config import Recipe
from rawkd.training.data.synthesize import SAME_NOISE, NoiseShare
from rawkd.training.losses.terms import build_losses
from rawkd.training.saved.trained import TrainedCard
from rawkd.training.strategies import Strategy
from rawkd.training.strategies.fit import beyond_its_range, refuse_other_input
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.teacher import Teacher


@dataclass(frozen=True)
class Setting:
    """Inputs to build a strategy for a run.

    Attributes
    ----------
    recipe, subrange : of the student. student : its network, without wrapper.
    cards : of the teachers, as many as the kind needs. numbers : all options of the strategy.
    vgg16 : file with torchvision's VGG16 state dict, for perceptual losses. device : of the run.
    warn : called if a teacher is not for all gains that the student is trained on.
    """

    recipe: Recipe
    subrange: int
    student: nn.Module
    cards: tuple[TrainedCard, ...]
    numbers: dict[str, Any]
    vgg16: Path | None
    device: torch.device
    warn: Callable[[str], None] = lambda _: None

    def supervised(self) -> Supervised:
        """Return the supervised losses of the recipe."""
        return Supervised(build_losses(self.recipe.losses, self.vgg16, self.device))

    def teacher(self, index: int = 0, *, ensemble: int = 1, noise: NoiseShare = SAME_NOISE) -> Teacher:
        """Return a teacher for crops of the student with a fraction of the student's noise.

        Raises
        ------
        ModelError: if the teacher does not fit; see `Teacher` and `Teacher.check_student`.
        """
        refuse_other_input(self.cards[index], self.recipe.input, self.recipe.cfa)
        teacher = Teacher(self.cards[index], self.recipe.anchor(self.subrange), self.device, ensemble=ensemble)
        teacher.check_student(self.recipe.subrange(self.subrange), self.recipe.crop_px, noise)
        if beyond := beyond_its_range(self.cards[index], *self.recipe.training_range(self.subrange), noise):
            self.warn(beyond)
        return teacher


@dataclass(frozen=True)
class StrategyKind:
    """A kind of strategy.

    Attributes
    ----------
    build : creates a strategy. teachers : largest number of teachers; `optional` of them may be left out.
    numbers : options by name with their defaults, plain JSON. Each is part of a run's identity and (with hyphens) an
        option of `rawkd distill`.
    """

    build: Callable[[Setting], Strategy]
    teachers: int
    numbers: dict[str, Any]
    optional: int = 0
