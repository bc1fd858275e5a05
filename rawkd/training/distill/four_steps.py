"""The four steps of the NTIRE 2020 raw winner, and a student of the two networks: one run of resumable trainings.

1. The original network is trained.
2. The siamese network is trained.
3. Both are tuned to the true picture and to the mean of what both answered before.
4. The siamese alone is tuned to the mean of what both answer by then; so is the student, with it in its new state.

Source: the winner's repository; rates, lengths and the even shares of steps 3 and 4 are our choice, since it states
none. There the labels were made of the very pictures that were scored; here of the training pictures, whose
truth is always known. No state is kept but the trainings' own: every one finds its checkpoint, or begins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rawkd.errors import UsageError
from rawkd.networks import build_network
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.distill.distillation import Distillation, numbers_of
from rawkd.training.losses.terms import build_losses
from rawkd.training.run.distributed import joined_processes
from rawkd.training.run.learner import MakeStrategy
from rawkd.training.run.loop import Run, Shown, train
from rawkd.training.saved.checkpoint import Checkpoint
from rawkd.training.saved.run_card import card_of_run
from rawkd.training.strategies import Strategy
from rawkd.training.strategies.supervised import Supervised

TUNING_RATE = 0.1
"""Learning rate of steps 3 and 4, as a share of the recipe's."""
TUNING_STEPS = 0.125
"""Optimiser steps of each tuning, as a share of the recipe's."""
EVEN = (0.5, 0.5)
"""Share of the labels in the loss of steps 3 and 4, at the start and the end."""


@dataclass(frozen=True)
class Step:
    """One training.

    Attributes
    ----------
    name : of its folder. recipe, subrange : what is trained. start_from : what it begins with, as in `train`.
    teachers : names of the steps whose mean is the label; none learns from the truth alone.
    numbers : of the strategy `siamese`.
    """

    name: str
    recipe: Recipe
    subrange: int
    start_from: str | None = None
    teachers: tuple[str, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FourSteps:
    """What is trained.

    Attributes
    ----------
    original, siamese, student : recipes. subrange : of the student; the networks' is the one that holds it.
    tuning_steps : optimiser steps of each tuning; None for an eighth of the recipe's.
    numbers : those of the strategy `siamese` that were given; the share of the labels is the student's.
    start_from : what the student begins with, as in `train`.
    """

    original: Recipe
    siamese: Recipe
    student: Recipe
    subrange: int
    tuning_steps: int | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    start_from: str | None = None

    def steps(self, folder: Path) -> tuple[Step, ...]:
        """The trainings in their order; the student's last.

        Raises
        ------
        UsageError: if a network cannot see the crops of another or of the student, or for a number that is none of the
            strategy's.
        """
        numbers = numbers_of("siamese", self.numbers)
        even = {**numbers, "label_share": EVEN}
        one, two = (self._covering(recipe) for recipe in (self.original, self.siamese))
        first, second = ("1-original", "2-siamese"), ("3-original", "3-siamese")
        return (
            Step(first[0], self.original, one),
            Step(first[1], self.siamese, two),
            Step(second[0], self._tuned(self.original), one, str(folder / first[0]), first, even),
            Step(second[1], self._tuned(self.siamese), two, str(folder / first[1]), first, even),
            Step("4-siamese", self._tuned(self.siamese), two, str(folder / second[1]), second, even),
            Step(
                f"5-{self.student.name}-{self.subrange}",
                self.student,
                self.subrange,
                self.start_from,
                (second[0], "4-siamese"),
                numbers,
            ),
        )

    def _tuned(self, recipe: Recipe) -> Recipe:
        steps = self.tuning_steps or max(1, round(recipe.steps * TUNING_STEPS))
        return recipe.with_rates(TUNING_RATE).with_steps(steps)

    def _covering(self, recipe: Recipe) -> int:
        """The subrange of a network that holds the student's, if it can see everyone's crops."""
        own = self.student.subrange(self.subrange)
        held = [recipe.subrange(index).covers(own.low, own.high) for index in range(recipe.num_subranges)]
        if True not in held:
            raise UsageError(
                f"no subrange of recipe {recipe.name} holds the noise {own.low:.3g} to {own.high:.3g} of the student: "
                "choose another recipe"
            )
        index = held.index(True)
        with torch.device("meta"):
            network: Any = build_network(recipe.network, recipe.network_config(index))
        for learner in (self.original, self.siamese, self.student):
            if learner.crop_px % network.stride or learner.input != recipe.input:
                raise UsageError(
                    f"the network of recipe {recipe.name} sees {recipe.input} in multiples of {network.stride} pixels, "
                    f"and the crops of recipe {learner.name} are {learner.input} of {learner.crop_px}: choose another"
                )
        return index


def run_four_steps(
    asked: FourSteps,
    pictures: tuple[CleanSet | None, CleanSet | None],
    run: Run,
    vgg16: Path | None,
    shown: Shown,
) -> Checkpoint | None:
    """Train everything that is not yet trained; the student's last state, None where the time was over before.

    Parameters
    ----------
    pictures : training and held-out sets; None for leaves. run : its folder holds one of every step, its `minutes` are
        those of all. vgg16 : as in `build_losses`.

    Raises
    ------
    UsageError: as `FourSteps.steps`. ModelError: as `train`; a step of other recipes or other teachers is refused.
    """
    with joined_processes(run.device):
        began = time.monotonic()
        for step in asked.steps(run.folder):
            minutes = None if run.minutes is None else run.minutes - (time.monotonic() - began) / 60
            own = replace(run, folder=run.folder / step.name, minutes=minutes)
            state = _trained(step, pictures, own, vgg16, shown)
            if state.step < step.recipe.steps:
                return None
        return state


def _trained(
    step: Step, pictures: tuple[CleanSet | None, CleanSet | None], run: Run, vgg16: Path | None, shown: Shown
) -> Checkpoint:
    """The last state of a step that is trained, or goes on, in its folder."""
    run.folder.mkdir(parents=True, exist_ok=True)
    distillation = None
    if step.teachers:
        cards = tuple(card_of_run(run.folder.parent / name) for name in step.teachers)
        distillation = Distillation("siamese", cards, step.numbers)
    with shown(f"{step.name} {step.recipe.name}") as listen:
        return train(
            step.recipe,
            step.subrange,
            pictures,
            _strategy_of(step, distillation, vgg16),
            run,
            start_from=step.start_from,
            distillation=distillation.identity() if distillation else None,
            listen=listen,
        )


def _strategy_of(step: Step, distillation: Distillation | None, vgg16: Path | None) -> MakeStrategy:
    def strategy(device: torch.device, student: nn.Module) -> Strategy:
        if distillation is None:
            return Supervised(build_losses(step.recipe.losses, vgg16, device))
        return distillation.build(step.recipe, step.subrange, student, vgg16, device)

    return strategy
