"""The four steps of `rawkd distill --strategy siamese`: what is asked of them, and the run itself."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import click

from rawkd.cli.console import print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_groups import gathered
from rawkd.cli.training.options import TrainingChoices
from rawkd.cli.training.run import announced_progress, is_main_process, prepared_run, training_pictures, warn
from rawkd.errors import UsageError

if TYPE_CHECKING:
    from rawkd.training.config import Recipe


@dataclass(frozen=True)
class NetworkChoices:
    """What was chosen of the options of the two networks, as click gives it; None: the default."""

    original: str | None
    siamese: str | None
    network_steps: int | None
    tuning_steps: int | None

    @property
    def given(self) -> bool:
        """Whether any was."""
        return any(getattr(self, field.name) is not None for field in fields(self))

    def recipes(self, choices: TrainingChoices) -> tuple[Recipe, Recipe]:
        """Of the original network and its siamese, with what was asked for besides the subrange and its own steps.

        Raises
        ------
        UsageError: as `TrainingChoices.recipe`.
        """
        own = replace(choices, steps=self.network_steps, asked_subrange=0)
        return own.recipe(self.original or "mwresnet"), own.recipe(self.siamese or "mwrcanet")


_OPTIONS = (
    click.option(
        "--original",
        metavar="NAME|FILE",
        help="Train this original network; siamese without --teacher.  [default: mwresnet]",
    ),
    click.option(
        "--siamese", metavar="NAME|FILE", help="Train this siamese, or what a search found.  [default: mwrcanet]"
    ),
    click.option(
        "--network-steps",
        type=click.IntRange(1),
        help="Train both networks for this many steps.  [default: their recipes']",
    ),
    click.option(
        "--tuning-steps",
        type=click.IntRange(1),
        help="Tune for this many steps each time.  [default: an eighth of those]",
    ),
)


network_options = gathered("networks", _OPTIONS, (field.name for field in fields(NetworkChoices)), NetworkChoices)
"""Give a command the options of the two networks; it receives them as one argument `networks`."""


def distill_in_four_steps(
    student: Recipe, networks: NetworkChoices, given: dict[str, Any], choices: TrainingChoices
) -> int:
    """Train both networks and the student, or what is left of it, and print the student's folder."""
    from rawkd.training.distill.four_steps import FourSteps, run_four_steps

    if choices.snapshot is not None:
        raise UsageError("the four steps train three networks: leave out --snapshot")
    original, siamese = networks.recipes(choices)
    asked = FourSteps(original, siamese, student, choices.subrange, networks.tuning_steps, given, choices.start_from)
    pictures = training_pictures(choices, (original, siamese, student))
    state = run_four_steps(asked, pictures, prepared_run(choices), choices.vgg16, announced_progress, warn)
    if state is not None and is_main_process():
        print_result(str(choices.folder / asked.steps(choices.folder)[-1].name))
    return OK
