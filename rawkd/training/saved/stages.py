"""The training stages in a model card; they contain everything that is needed to repeat the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rawkd.errors import ModelError
from rawkd.inference.card import ModelCard
from rawkd.training.config import Recipe, recipe_from_json
from rawkd.training.saved.checkpoint import Checkpoint


@dataclass(frozen=True)
class Stage:
    """One run of a chain, which starts from the weights of the run before it.

    Attributes
    ----------
    recipe, subrange : what to train. distillation : plain JSON of strategy and teacher; None without a teacher.
    """

    recipe: Recipe
    subrange: int
    distillation: dict[str, Any] | None = None


def stage_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the entry of a run in its card: recipe, steps, hours, last validation, settings and number format."""
    settings = checkpoint.recipe
    stage = {
        "recipe": settings["recipe"]["name"],
        "steps": checkpoint.step,
        "hours": round(checkpoint.seconds / 3600, 2),
        "val_psnr_gain_db": round(checkpoint.history[-1]["val_psnr_gain_db"], 3),
        "settings": settings["recipe"],
        "subrange": settings["subrange"],
    }
    if checkpoint.precision is not None:
        stage["precision"] = checkpoint.precision
    if distillation := settings.get("distillation"):
        stage["distillation"] = distillation
    return stage


def stages_to_repeat(card: ModelCard) -> list[Stage]:
    """Return the runs of a card, first to last.

    A run that was stopped before the end of its schedule is repeated with the full schedule.

    Raises
    ------
    ModelError: if the card does not contain the settings of its runs, like cards of older versions.
    """
    rows = card.recipe.get("stages", [])
    if not rows or any("settings" not in row for row in rows):
        raise ModelError(
            f"the card of {card.name} does not contain the settings of its runs, so --like cannot repeat them. "
            "Train it with its recipe: docs/training-log.md lists its runs."
        )
    return [Stage(recipe_from_json(row["settings"]), int(row["subrange"]), row.get("distillation")) for row in rows]
