"""`rawkd distill`: train one student by teachers (hidden: most users never train)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rawkd.cli.exit_codes import OK
from rawkd.cli.option_groups import gathered
from rawkd.cli.option_values import PART
from rawkd.cli.training.four_steps import NetworkChoices, distill_in_four_steps, network_options
from rawkd.cli.training.options import TrainingChoices, training_options
from rawkd.cli.training.run import require_torch, run_training, warn
from rawkd.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from rawkd.training.strategies import Strategy

STRATEGIES = ("response", "feature-matching", "hads", "hmds", "siamese", "slkd")
"""Of `rawkd.training.distill.distillation`, which is too heavy to load for a help text."""


def _whole(_context: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    return None if value is None else int(value)


def _layers(_context: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value.split(","))


def _parts(_context: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(sorted(set(value.split(","))))


def _ratio(context: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    if value is None or value == "subrange":
        return value
    kind: Any = click.FloatRange(1, min_open=True)
    ratio: float = kind.convert(value, param, context)
    return ratio


NUMBERS = {
    "ensemble": click.option(
        "--teacher-ensemble",
        "ensemble",
        type=click.Choice(["1", "8"]),
        callback=_whole,
        help="Average this many flipped and turned copies in the teacher; response, siamese.  [default: 1]",
    ),
    "kd_alpha": click.option(
        "--kd-alpha",
        type=PART,
        help="Set the share of the teacher in the loss; response.  [default: 0.5]",
    ),
    "label_share": click.option(
        "--label-share",
        nargs=2,
        type=PART,
        metavar="FIRST LAST",
        help="Set the share of the teachers in the loss, at the start and the end; siamese.  [default: 0.5 0.7]",
    ),
    "feature_share": click.option(
        "--feature-share",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        help="Set the share of features in the loss at the start; feature-matching.  [default: 0.02]",
    ),
    "kd_lambda": click.option(
        "--kd-lambda",
        type=click.FloatRange(0, min_open=True),
        help="Set the weight of the features; hads, hmds.  [default: 0.1]",
    ),
    "noise_ratio": click.option(
        "--noise-ratio",
        metavar="R|subrange",
        callback=_ratio,
        help="Make the teacher's noise this many times weaker, or that of its lower subrange; hmds.  [default: 2]",
    ),
    "taps": click.option(
        "--taps",
        metavar="LAYERS",
        callback=_layers,
        help="Match these layers of the teacher: a,b,c; feature-matching, hads, hmds.",
    ),
    "student_taps": click.option(
        "--student-taps",
        metavar="LAYERS",
        callback=_layers,
        help="Match these layers of the student, as many; hads, hmds.",
    ),
    "without": click.option(
        "--without", metavar="PARTS", callback=_parts, help="Leave out some of drl,irl,nc,et,img,kl; slkd."
    ),
    "slkd_weights": click.option(
        "--slkd-weights",
        nargs=4,
        type=click.FloatRange(0, min_open=True),
        metavar="IMG KL NC ET",
        help="Set the weights beside the recipe's losses; slkd.  [default: 0.5 0.1 0.05 0.05]",
    ),
}
"""Options by the names of the strategies' numbers (`StrategyKind.numbers`); what is not given keeps the strategy's
default. The help states those defaults, because the strategies are too heavy to load for it; a test compares them."""


number_options = gathered("given", tuple(NUMBERS.values()), NUMBERS, dict)
"""Give a command the options of all strategies; it receives what was given as one argument `given`."""


@click.command("distill")
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    metavar="NAME|DIR",
    help="Learn from this shipped model, or folder of a model or run; repeatable. siamese can train its own.",
)
@click.option(
    "--student",
    "recipe_name",
    required=True,
    metavar="NAME|FILE",
    help="Train the student of this recipe of rawkd/training/recipes.py, or of a file.",
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="response",
    show_default=True,
    help="Choose what the student learns from: the teacher's output, its look, or its features.",
)
@number_options
@network_options
@training_options
def distill_command(
    teachers: tuple[str, ...],
    recipe_name: str,
    strategy: str,
    given: dict[str, Any],
    networks: NetworkChoices,
    choices: TrainingChoices,
) -> int:
    """Train one student by its teachers, or resume its training."""
    require_torch()
    from rawkd.training.distill.distillation import Distillation
    from rawkd.training.saved.trained import find_trained

    recipe = choices.recipe(recipe_name)
    if strategy == "siamese" and not teachers:
        return distill_in_four_steps(recipe, networks, given, choices)
    if networks.given:
        raise UsageError("the two networks are trained by the strategy siamese without --teacher: leave one out")
    distillation = Distillation.of(strategy, tuple(map(find_trained, teachers)), given)

    def distilled(device: torch.device, student: nn.Module) -> Strategy:
        return distillation.build(recipe, choices.subrange, student, choices.vgg16, device, warn)

    run_training(recipe, choices, distilled, distillation.identity())
    return OK
