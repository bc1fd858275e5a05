"""`rawkd search`: find a siamese network under a budget (hidden)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rawkd.cli.console import print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.training.options import TrainingChoices, training_options
from rawkd.cli.training.run import announced_progress, prepared_run, require_torch, training_pictures
from rawkd.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rawkd.training.strategies import Strategy


@click.command("search")
@click.option(
    "--recipe",
    "recipe_name",
    default="mwrcanet-small",
    show_default=True,
    metavar="NAME|FILE",
    help="Keep data and training of this recipe of the network mwrcanet.",
)
@click.option(
    "--budget-gmacs",
    required=True,
    type=click.FloatRange(0, min_open=True),
    help="Allow at most this many GMACs for a megapixel (10^6) of mosaic.",
)
@click.option(
    "--proxy-steps",
    type=click.IntRange(1),
    default=300,
    show_default=True,
    help="Train each candidate for this many steps.",
)
@click.option(
    "--population", type=click.IntRange(2), default=8, show_default=True, help="Keep this many candidates a generation."
)
@click.option(
    "--generations",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Search this many generations after the first, which is drawn at random.",
)
@training_options
def search_command(
    recipe_name: str,
    budget_gmacs: float,
    proxy_steps: int,
    population: int,
    generations: int,
    choices: TrainingChoices,
) -> int:
    """Find a network under a budget, or go on with a search; `rawkd train --recipe OUT/recipe.json` trains it."""
    require_torch()
    from rawkd.training.distill.search import FOUND, Search, search
    from rawkd.training.losses.terms import build_losses
    from rawkd.training.run.distributed import world_in_environment
    from rawkd.training.strategies.supervised import Supervised

    if choices.start_from is not None:
        raise UsageError("every candidate of a search begins anew: leave out --start-from")
    if choices.snapshot is not None:
        raise UsageError("a search trains many candidates: leave out --snapshot")
    if world_in_environment() > 1:
        raise UsageError("a search runs in one process: start it without torchrun")
    recipe = choices.recipe(recipe_name)
    asked = Search(recipe, choices.subrange, budget_gmacs, proxy_steps, population, generations, recipe.seed)

    def supervised(device: torch.device, _student: nn.Module) -> Strategy:
        return Supervised(build_losses(recipe.losses, choices.vgg16, device))

    pictures = training_pictures(choices, (recipe,))
    if search(asked, pictures, supervised, prepared_run(choices), announced_progress) is not None:
        print_result(str(choices.folder / FOUND))
    return OK
