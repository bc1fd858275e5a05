"""Settings of a distillation: strategy, teachers and options."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from rawkd.training.strategies.kind import Setting, StrategyKind
from rawkd.training.strategies.response import RESPONSE
from rawkd.training.strategies.siamese import SIAMESE
from rawkd.training.strategies.slkd import SLKD

STRATEGIES: dict[str, StrategyKind] = {
    "response": RESPONSE,
    "feature-matching": FEATURE_MATCHING,
    "hads": HADS,
    "hmds": HMDS,
    "siamese": SIAMESE,
    "slkd": SLKD,
}
"""Strategies by name. To add one, add it here and its options in `rawkd/cli/training/distill.py`."""
SHARES = {"kd_alpha", "label_share"}
"""Options that are the share of the teachers in the loss: a number, or those at the start and at the end."""


@dataclass(frozen=True)
class Distillation:
    """A strategy with its teachers.

    Attributes
    ----------
    strategy : a key of `STRATEGIES`. teachers : their cards. numbers : all options of the strategy.
    """

    strategy: str
    teachers: tuple[TrainedCard, ...]
    numbers: dict[str, Any]

    @classmethod
    def of(cls, strategy: str, teachers: tuple[TrainedCard, ...], given: dict[str, Any]) -> Distillation:
        """Return a distillation with the `given` options, and defaults for those that are missing or None.

        Raises
        ------
        UsageError: as `numbers_of`, or for a wrong number of teachers.
        """
        numbers, kind = numbers_of(strategy, given), STRATEGIES[strategy]
        if not kind.teachers - kind.optional <= len(teachers) <= kind.teachers:
            raise UsageError(
                f"the strategy {strategy} needs {_counted(kind)}, not {len(teachers)}. Give --teacher once for each."
            )
        return cls(strategy, teachers, numbers)

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the result, plain JSON; teachers by the hashes of their files."""
        names = " + ".join(card.name for card in self.teachers)
        files = "".join(json.dumps(card.files, sort_keys=True) for card in self.teachers)
        numbers: dict[str, Any] = json.loads(json.dumps(self.numbers))
        return {"strategy": self.strategy, "teacher": names, "files": sha256_of(files.encode()), **numbers}

    def build(
        self,
        recipe: Recipe,
        subrange: int,
        student: nn.Module,
        vgg16: Path | None,
        device: torch.device,
        warn: Callable[[str], None] = lambda _: None,
    ) -> Strategy:
        """Return the strategy for one student of a recipe, on a device.

        Parameters
        ----------
        warn : called if a teacher is not for all gains that the student is trained on.

        Raises
        ------
        ModelError: if a teacher does not fit; see `Teacher`.
        """
        setting = Setting(recipe, subrange, student, self.teachers, self.numbers, vgg16, device, warn)
        return STRATEGIES[self.strategy].build(setting)


def numbers_of(strategy: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return all options of a strategy: the `given` ones, and defaults for those that are missing or None.

    Raises
    ------
    UsageError: for an unknown strategy, an option that it does not have, or a share of the teachers of 0.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"there is no strategy {strategy!r}. Choose one of {', '.join(STRATEGIES)}.")
    defaults = STRATEGIES[strategy].numbers
    chosen = {name: value for name, value in given.items() if value is not None}
    if foreign := sorted(chosen.keys() - defaults.keys()):
        raise UsageError(f"the strategy {strategy} has no option {foreign[0].replace('_', '-')}. Leave it out.")
    for name in SHARES & chosen.keys():
        if not any(chosen[name] if isinstance(chosen[name], tuple | list) else [chosen[name]]):
            raise UsageError(
                f"with a {name.replace('_', '-')} of 0 the student learns nothing from its teachers. Give more, or use"
                " `rawkd train`."
            )
    return defaults | chosen


def _counted(kind: StrategyKind) -> str:
    if kind.optional:
        return f"{kind.teachers - kind.optional} to {kind.teachers} teachers"
    return f"{kind.teachers} teacher" if kind.teachers == 1 else f"{kind.teachers} teachers"
