"""`rawkd train`: train one student of a recipe (hidden: most users never train)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rawkd.cli.exit_codes import OK
from rawkd.cli.training.run_options import TrainingChoices, require_torch, run_training, training_options

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rawkd.training.strategies import Strategy


@click.command("train")
@click.option(
    "--recipe",
    "recipe_name",
    required=True,
    metavar="NAME|FILE",
    help="A recipe of rawkd/training/recipes.py, or its file.",
)
@training_options
def train_command(recipe_name: str, choices: TrainingChoices) -> int:
    """Train one student, or resume its training."""
    require_torch()
    from rawkd.training.losses.terms import build_losses
    from rawkd.training.strategies.supervised import Supervised

    recipe = choices.recipe(recipe_name)

    def supervised(device: torch.device, _student: nn.Module) -> Strategy:
        return Supervised(build_losses(recipe.losses, choices.vgg16, device))

    run_training(recipe, choices, supervised)
    return OK
