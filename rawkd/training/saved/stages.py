"""The runs that led to a model, as its card states them: enough to make it again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rawkd.errors import ModelError
from rawkd.inference.card import ModelCard
from rawkd.training.config import Recipe, recipe_from_json
from rawkd.training.saved.checkpoint import Checkpoint


@dataclass(frozen=True)
class Stage:
    """One run of a chain; each begins with the weights of the one before.

    Attributes
    ----------
    recipe, subrange : what was trained, with the steps that were taken. distillation : plain JSON of its strategy and
        teacher, None for a run without a teacher.
    """

    recipe: Recipe
    subrange: int
    distillation: dict[str, Any] | None = None


def stage_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """A run's entry in its card: name, steps, hours, last validation, and its settings."""
    settings = checkpoint.recipe
    stage = {
        "recipe": settings["recipe"]["name"],
        "steps": checkpoint.step,
        "hours": round(checkpoint.seconds / 3600, 2),
        "val_psnr_gain_db": round(checkpoint.history[-1]["val_psnr_gain_db"], 3),
        "settings": settings["recipe"],
        "subrange": settings["subrange"],
    }
    if distillation := settings.get("distillation"):
        stage["distillation"] = distillation
    return stage


def stages_to_repeat(card: ModelCard) -> list[Stage]:
    """The runs of a card, first to last.

    A run that was stopped before its schedule ended is repeated with its schedule, and so ends later.

    Raises
    ------
    ModelError: if the card does not hold the settings of its runs, as those of older versions do not.
    """
    rows = card.recipe.get("stages", [])
    if not rows or any("settings" not in row for row in rows):
        raise ModelError(
            f"the card of {card.name} does not hold the settings of its runs, so it cannot be made again by --like. "
            "Train it by its recipe: docs/training-log.md lists its runs."
        )
    return [Stage(recipe_from_json(row["settings"]), int(row["subrange"]), row.get("distillation")) for row in rows]


def shortened(stages: list[Stage], steps: int | None) -> list[Stage]:
    """The stages with another number of steps each, None for their own."""
    if steps is None:
        return stages
    return [replace(stage, recipe=stage.recipe.with_steps(steps)) for stage in stages]
