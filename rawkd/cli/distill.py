"""`rawkd distill`: train one student by a teacher (hidden: most users never train)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rawkd.cli.exit_codes import OK
from rawkd.cli.training import TrainingChoices, require_torch, run_training, training_options

if TYPE_CHECKING:
    import torch

    from rawkd.training.strategies import Strategy


@click.command("distill")
@click.option("--teacher", required=True, metavar="NAME|DIR", help="A shipped model, or a model's folder.")
@click.option(
    "--student", "recipe_name", required=True, metavar="RECIPE", help="A recipe of rawkd/training/recipes.py."
)
@click.option(
    "--strategy",
    type=click.Choice(["response", "feature-matching"]),
    default="response",
    show_default=True,
    help="Learn the teacher's answers, or to look true to the teacher.",
)
@click.option(
    "--teacher-ensemble", type=click.Choice(["1", "8"]), help="Symmetries that the teacher averages; response only."
)
@click.option("--kd-alpha", type=click.FloatRange(0, 1), help="Share of the teacher in the loss; response only.")
@click.option(
    "--feature-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of features in the loss at the start; feature-matching only.",
)
@click.option("--taps", metavar="LAYERS", help="The teacher's layers, finest first: a,b,c,d; feature-matching only.")
@training_options
def distill_command(
    teacher: str,
    recipe_name: str,
    strategy: str,
    teacher_ensemble: str | None,
    kd_alpha: float | None,
    feature_share: float | None,
    taps: str | None,
    choices: TrainingChoices,
) -> int:
    """Train one student by a teacher, or resume its training."""
    require_torch()
    from rawkd.training.distillation import Distillation
    from rawkd.training.teacher import find_teacher

    given = {
        "ensemble": None if teacher_ensemble is None else int(teacher_ensemble),
        "kd_alpha": kd_alpha,
        "feature_share": feature_share,
        "taps": None if taps is None else tuple(taps.split(",")),
    }
    recipe = choices.recipe(recipe_name)
    distillation = Distillation.of(strategy, find_teacher(teacher), given)

    def distilled(device: torch.device) -> Strategy:
        return distillation.build(recipe, choices.subrange, choices.vgg16, device)

    run_training(recipe, choices, distilled, distillation.identity())
    return OK
