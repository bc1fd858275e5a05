"""How one student is distilled: the strategy, its teachers and its numbers, as a run states them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rawkd.errors import UsageError
from rawkd.inference.weights import sha256_of
from rawkd.training.config import Recipe
from rawkd.training.saved.trained import TrainedCard
from rawkd.training.strategies import Strategy
from rawkd.training.strategies.feature_matching import FEATURE_MATCHING
from rawkd.training.strategies.heterogeneous import HADS, HMDS
from rawkd.training.strategies.kind import Kind, Setting
from rawkd.training.strategies.response import RESPONSE
from rawkd.training.strategies.siamese import SIAMESE
from rawkd.training.strategies.slkd import SLKD

STRATEGIES: dict[str, Kind] = {
    "response": RESPONSE,
    "feature-matching": FEATURE_MATCHING,
    "hads": HADS,
    "hmds": HMDS,
    "siamese": SIAMESE,
    "slkd": SLKD,
}
"""By name; a strategy is added here, and its numbers in `rawkd/cli/training/distill.py`."""


@dataclass(frozen=True)
class Distillation:
    """A strategy with its teachers.

    Attributes
    ----------
    strategy : a key of `STRATEGIES`. teachers : their cards. numbers : those of the strategy, all of them.
    """

    strategy: str
    teachers: tuple[TrainedCard, ...]
    numbers: dict[str, Any]

    @classmethod
    def of(cls, strategy: str, teachers: tuple[TrainedCard, ...], given: dict[str, Any]) -> Distillation:
        """With the numbers that were `given` (None: not) and the defaults of the others.

        Raises
        ------
        UsageError: as `numbers_of`, or for another number of teachers.
        """
        numbers, kind = numbers_of(strategy, given), STRATEGIES[strategy]
        if not kind.teachers - kind.optional <= len(teachers) <= kind.teachers:
            raise UsageError(
                f"the strategy {strategy} learns from {_counted(kind)}, not {len(teachers)}: give --teacher as often"
            )
        return cls(strategy, teachers, numbers)

    def identity(self) -> dict[str, Any]:
        """Plain JSON of what decides the result; the teachers by the hashes of their files."""
        names = " + ".join(card.name for card in self.teachers)
        files = "".join(json.dumps(card.files, sort_keys=True) for card in self.teachers)
        numbers: dict[str, Any] = json.loads(json.dumps(self.numbers))
        return {"strategy": self.strategy, "teacher": names, "files": sha256_of(files.encode()), **numbers}

    def build(
        self, recipe: Recipe, subrange: int, student: nn.Module, vgg16: Path | None, device: torch.device
    ) -> Strategy:
        """The strategy on a device, for one student of a recipe.

        Raises
        ------
        ModelError: if a teacher is unfit; see `Teacher`.
        """
        setting = Setting(recipe, subrange, student, self.teachers, self.numbers, vgg16, device)
        return STRATEGIES[self.strategy].build(setting)


def numbers_of(strategy: str, given: dict[str, Any]) -> dict[str, Any]:
    """All numbers of a strategy: those that were `given` (None: not), and the defaults of the others.

    Raises
    ------
    UsageError: for an unknown strategy, or a number that it does not have.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"there is no strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
    defaults = STRATEGIES[strategy].numbers
    chosen = {name: value for name, value in given.items() if value is not None}
    if foreign := sorted(chosen.keys() - defaults.keys()):
        raise UsageError(f"the strategy {strategy} has no {foreign[0].replace('_', '-')}: leave it out")
    return defaults | chosen


def _counted(kind: Kind) -> str:
    if kind.optional:
        return f"{kind.teachers - kind.optional} to {kind.teachers} teachers"
    return f"{kind.teachers} teacher" if kind.teachers == 1 else f"{kind.teachers} teachers"
