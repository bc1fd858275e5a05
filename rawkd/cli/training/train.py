"""`rawkd train`: train one student of a recipe, or make a model again (hidden: most users never train)."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import to_stderr
from rawkd.cli.exit_codes import OK
from rawkd.cli.training.options import TrainingChoices, training_options
from rawkd.cli.training.run import is_main_process, require_torch, run_training, training_pictures, warn
from rawkd.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rawkd.training.config import Recipe
    from rawkd.training.data.clean import CleanSet
    from rawkd.training.run.learner import MakeStrategy
    from rawkd.training.saved.stages import Stage
    from rawkd.training.strategies import Strategy


@click.command("train")
@click.option(
    "--recipe", "recipe_name", metavar="NAME|FILE", help="Use this recipe of rawkd/training/recipes.py, or a file."
)
@click.option("--like", "model", metavar="MODEL", help="Repeat the runs that made this model, by its card, in --out.")
@click.option(
    "--int8", "rounds", is_flag=True, help="Train with features rounded to int8, for a last stage; needs --start-from."
)
@training_options
def train_command(recipe_name: str | None, model: str | None, rounds: bool, choices: TrainingChoices) -> int:
    """Train one student, or resume its training."""
    require_torch()
    if (recipe_name is None) == (model is None):
        raise UsageError("give either --recipe or --like")
    if rounds and (model is not None or choices.start_from is None):
        raise UsageError("--int8 rounds the features of a trained network: give --recipe and --start-from")
    if model is not None:
        _repeat(model, choices)
    elif recipe_name is not None:
        recipe = choices.recipe(recipe_name)
        pictures = training_pictures(choices, (recipe,))
        if rounds:
            recipe = _rounding(recipe, choices, pictures[0])
        run_training(recipe, choices, _supervised(recipe, choices), pictures=pictures)
    return OK


def _supervised(recipe: Recipe, choices: TrainingChoices) -> MakeStrategy:
    from rawkd.training.losses.terms import build_losses
    from rawkd.training.strategies.supervised import Supervised

    def make(device: torch.device, _student: nn.Module) -> Strategy:
        return Supervised(build_losses(recipe.losses, choices.vgg16, device))

    return make


def _rounding(recipe: Recipe, choices: TrainingChoices, pictures: CleanSet | None) -> Recipe:
    """The recipe with the ranges of the network that the run starts from, measured on crops of the training pictures.

    Raises
    ------
    UsageError: if that network has no convolutions for int8, or another size than the recipe's.
    """
    from rawkd.inference.graph.int8 import encode
    from rawkd.networks import build_network
    from rawkd.training.run.int8 import activation_ranges, convolutions_for_int8
    from rawkd.training.saved.trained import find_trained, load_trained

    network = load_trained(find_trained(str(choices.start_from))).float().eval()
    ranges = activation_ranges(network, recipe, choices.subrange, pictures)
    if not ranges:
        raise UsageError(f"{choices.start_from} has no convolutions that can compute in int8: leave out --int8")
    own = convolutions_for_int8(build_network(recipe.network, recipe.network_config(choices.subrange)))
    if {name: one.in_channels for name, one in own.items()} != {name: len(of) for name, of in ranges.items()}:
        raise UsageError(f"{choices.start_from} is of another size than the recipe's network: train without --int8")
    return replace(recipe, int8=encode(ranges))


def _repeat(model: str, choices: TrainingChoices) -> None:
    """Repeat every run of a model's card; each starts from the weights of the one before.

    `minutes` are for all runs together. If they end within a run, the training ends there: the next run must not start
    from weights of an unfinished one. Every run has its own folder of snapshots.
    """
    from rawkd.inference.card import ModelCard
    from rawkd.training.run.loop import minutes_left
    from rawkd.training.saved.stages import stages_to_repeat
    from rawkd.training.saved.trained import find_trained

    if choices.start_from is not None or choices.asked_subrange is not None:
        raise UsageError("--like takes start and subrange from the card: leave out --start-from and --subrange")
    card = find_trained(model)
    if not isinstance(card, ModelCard):
        raise UsageError(f"{model} is a run, not a model: name an exported model for --like")
    stages = [replace(stage, recipe=choices.adjusted(stage.recipe)) for stage in stages_to_repeat(card)]
    began, before = time.monotonic(), None
    for number, stage in enumerate(stages, 1):
        folder = choices.folder / f"{number}-{stage.recipe.name}"
        if is_main_process():
            to_stderr(f"run {number} of {len(stages)}: {stage.recipe.name}, {stage.recipe.steps} steps")
        minutes = minutes_left(choices.minutes, began)
        if before is not None and minutes is not None and minutes <= 0:
            return
        mine = replace(choices, folder=folder, start_from=before, asked_subrange=stage.subrange, minutes=minutes)
        if choices.snapshot is not None:
            mine = replace(mine, snapshot=choices.snapshot / folder.name)
        state = run_training(stage.recipe, mine, *_learns_by(stage, mine))
        if state.step < stage.recipe.steps:
            return
        before = str(folder)


def _learns_by(stage: Stage, choices: TrainingChoices) -> tuple[MakeStrategy, dict[str, object] | None]:
    """The strategy of a stage, and what a resumed run must agree in besides its recipe."""
    if stage.distillation is None:
        return _supervised(stage.recipe, choices), None
    from rawkd.training.distill.distillation import Distillation
    from rawkd.training.saved.trained import find_trained

    stated = dict(stage.distillation)
    strategy, teachers = stated.pop("strategy"), stated.pop("teacher").split(" + ")
    stated.pop("files")
    distillation = Distillation.of(strategy, tuple(map(find_trained, teachers)), stated)

    def make(device: torch.device, student: nn.Module) -> Strategy:
        return distillation.build(stage.recipe, stage.subrange, student, choices.vgg16, device, warn)

    return make, distillation.identity()
