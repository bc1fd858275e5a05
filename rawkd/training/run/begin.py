"""The state in which a run begins: that of its checkpoint, that of other weights, or fresh weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rawkd.errors import UsageError
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import Batch
from rawkd.training.run.learner import Learner
from rawkd.training.saved.checkpoint import Checkpoint
from rawkd.training.saved.identity import refuse_other_recipe
from rawkd.training.saved.pictures import learnt_before, refuse_other_pictures
from rawkd.training.saved.provenance import origin_of
from rawkd.training.saved.trained import find_trained


def begin(
    learner: Learner,
    recipe: Recipe,
    *,
    kept: Checkpoint | None,
    folder: Path,
    identity: dict[str, Any],
    start_from: str | None,
    pictures: tuple[CleanSet | None, CleanSet | None],
    crops: Callable[[], list[Batch]],
    warn: Callable[[str], None],
) -> Checkpoint:
    """Restore the learner from the checkpoint of its run, or initialise it; return its state.

    Parameters
    ----------
    kept : the checkpoint in `folder`; None for a new run. identity : as `identity_of`.
    pictures : training and held-out set. crops : as `Learner.start_from`.
    warn : called if the validation measures on pictures that the weights have learnt, or a new run ends in its warm-up.

    Raises
    ------
    UsageError: if a new run has no weights for the parameters that do not learn.
    ModelError: if the checkpoint is of another recipe, of other pictures or of another strategy, or the weights to
        start from do not fit.
    """
    if kept is not None:
        refuse_other_recipe(kept, identity, folder)
        refuse_other_pictures(kept, *pictures, folder)
        learner.resume(kept)
        state = kept
    else:
        _refuse_untrained_rest(recipe, start_from)
        if recipe.steps <= recipe.warmup_steps:
            warn(
                f"{folder}: the learning rate rises for {recipe.warmup_steps} steps, and the run has {recipe.steps}: it"
                " ends before the recipe's rate. Give more --steps, or a recipe file with fewer warmup_steps"
            )
        if start_from is not None:
            learner.start_from(find_trained(start_from), crops)
        state = replace(learner.checkpoint(0, identity, 0.0, []), origin=origin_of(start_from, *pictures))
    training, held_out = pictures
    if held_out is not None and (known := learnt_before(state.origin, training, held_out)):
        warn(
            f"{folder}: the weights that it starts from have learnt {len(known)} of the {len(held_out.names)} held-out"
            f" pictures (first {known[0]}), so its validation is too good. Compare it on other pictures"
        )
    return state


def _refuse_untrained_rest(recipe: Recipe, start_from: str | None) -> None:
    """Raise UsageError if only some parameters learn and the others would keep random values."""
    if recipe.learning and start_from is None:
        raise UsageError(
            f"in recipe {recipe.name} only the parameters of `learning` learn ({', '.join(recipe.learning)}), so the"
            " others need trained weights: give --start-from"
        )
