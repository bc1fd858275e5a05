"""What a kind of strategy states of itself, and what it is built of."""

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
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.teacher import Teacher, refuse_other_input


@dataclass(frozen=True)
class Setting:
    """The run that a strategy is built for.

    Attributes
    ----------
    recipe, subrange : of the student. student : its network, not wrapped.
    cards : of the teachers, as many as the kind asks for. numbers : of the strategy, all of them.
    vgg16 : torchvision's VGG16 state dict, for perceptual losses. device : of the run.
    """

    recipe: Recipe
    subrange: int
    student: nn.Module
    cards: tuple[TrainedCard, ...]
    numbers: dict[str, Any]
    vgg16: Path | None
    device: torch.device

    def supervised(self) -> Supervised:
        """The recipe's own losses."""
        return Supervised(build_losses(self.recipe.losses, self.vgg16, self.device))

    def teacher(self, index: int = 0, *, ensemble: int = 1, noise: NoiseShare = SAME_NOISE) -> Teacher:
        """A teacher that knows the student's crops, shown with that share of the student's noise.

        Raises
        ------
        ModelError: if it is unfit; see `Teacher` and `Teacher.check_student`.
        """
        refuse_other_input(self.cards[index], self.recipe.input)
        teacher = Teacher(self.cards[index], self.recipe.anchor(self.subrange), self.device, ensemble=ensemble)
        teacher.check_student(self.recipe.subrange(self.subrange), self.recipe.crop_px, noise)
        return teacher


@dataclass(frozen=True)
class Kind:
    """A kind of strategy.

    Attributes
    ----------
    build : makes one. teachers : how many it learns from, of which `optional` may be missing.
    numbers : their defaults, plain JSON, by name; every one is part of a run's identity and, with hyphens, an option of
        `rawkd distill`.
    """

    build: Callable[[Setting], Strategy]
    teachers: int
    numbers: dict[str, Any]
    optional: int = 0
