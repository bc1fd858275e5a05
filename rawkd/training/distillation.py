"""How one student is distilled: the strategy, its teacher and its numbers, as a run states them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rawkd.errors import UsageError
from rawkd.inference.card_file import ModelCard
from rawkd.inference.weights import sha256_of
from rawkd.training.config import Recipe
from rawkd.training.losses import build_losses
from rawkd.training.strategies import Strategy
from rawkd.training.strategies.feature_matching import FeatureMatching
from rawkd.training.strategies.response import Response
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.teacher import Teacher

STRATEGIES: dict[str, dict[str, Any]] = {
    "response": {"kd_alpha": 0.5, "ensemble": 1},
    "feature-matching": {"feature_share": 0.3, "taps": ()},
}
"""By strategy, its numbers and their defaults."""


@dataclass(frozen=True)
class Distillation:
    """A strategy with its teacher.

    Attributes
    ----------
    strategy : a key of `STRATEGIES`. teacher : its card. numbers : those of the strategy, all of them.
    """

    strategy: str
    teacher: ModelCard
    numbers: dict[str, Any]

    @classmethod
    def of(cls, strategy: str, teacher: ModelCard, given: dict[str, Any]) -> Distillation:
        """With the numbers that were `given` (None: not) and the defaults of the others.

        Raises
        ------
        UsageError: for an unknown strategy, or a number that it does not have.
        """
        if strategy not in STRATEGIES:
            raise UsageError(f"there is no strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
        defaults = STRATEGIES[strategy]
        chosen = {name: value for name, value in given.items() if value is not None}
        if foreign := sorted(chosen.keys() - defaults.keys()):
            raise UsageError(f"the strategy {strategy} has no {foreign[0].replace('_', '-')}: leave it out")
        return cls(strategy, teacher, defaults | chosen)

    def identity(self) -> dict[str, Any]:
        """Plain JSON of what decides the result; the teacher by the hashes of its files."""
        files = json.dumps(self.teacher.files, sort_keys=True)
        numbers: dict[str, Any] = json.loads(json.dumps(self.numbers))
        return {"strategy": self.strategy, "teacher": self.teacher.name, "files": sha256_of(files.encode()), **numbers}

    def build(self, recipe: Recipe, subrange: int, vgg16: Path | None, device: torch.device) -> Strategy:
        """The strategy on a device, for one student of a recipe.

        Raises
        ------
        ModelError: if the teacher is unfit; see `Teacher`.
        """
        supervised = Supervised(build_losses(recipe.losses, vgg16, device))
        ensemble = self.numbers.get("ensemble", 1)
        teacher = Teacher(self.teacher, recipe.anchor(subrange), device, ensemble=ensemble)
        teacher.check_student(recipe.subrange(subrange), recipe.crop_px)
        if self.strategy == "response":
            return Response(teacher, supervised, self.numbers["kd_alpha"])
        teacher.tap(tuple(self.numbers["taps"]))
        return FeatureMatching(teacher, supervised, self.numbers["feature_share"])
