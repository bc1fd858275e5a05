"""The four training steps of the NTIRE 2020 raw winner, followed by a student of both networks.

1. Train the original network.
2. Train the siamese network.
3. Fine-tune both on the clean pictures and the mean of their outputs after steps 1 and 2.
4. Fine-tune the siamese network on the mean of both outputs after step 3.
5. Train the student on the mean of the original network (step 3) and the siamese network (step 4).

Source: the winner's repository. Learning rates, numbers of steps and the equal weights in steps 3 and 4 are our choice,
since it states none. The authors made labels for the scored pictures; we make them for the training pictures, whose
clean version is known. Every step is a run with its own checkpoint and can be resumed; there is no other state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rawkd.errors import UsageError
from rawkd.networks import build_network
from rawkd.photo import NAMES_OF_KINDS
from rawkd.training.config import Recipe
from rawkd.training.data.clean import CleanSet
from rawkd.training.distill.distillation import Distillation, numbers_of
from rawkd.training.losses.terms import build_losses
from rawkd.training.run.distributed import joined_processes
from rawkd.training.run.learner import MakeStrategy
from rawkd.training.run.loop import ProgressDisplay, Run, train
from rawkd.training.saved.checkpoint import Checkpoint, load_checkpoint
from rawkd.training.saved.run_card import card_of_run
from rawkd.training.saved.trained import find_trained
from rawkd.training.strategies import Strategy
from rawkd.training.strategies.supervised import Supervised
from rawkd.training.strategies.teacher_ensemble import refuse_ensemble

TUNING_RATE = 0.1
"""Learning rate of steps 3 and 4, as a fraction of the recipe's."""
TUNING_STEPS = 0.125
"""Optimiser steps of each fine-tuning, as a fraction of the recipe's."""
EVEN = (0.5, 0.5)
"""Weight of the labels in the loss of steps 3 and 4, at the start and the end."""


@dataclass(frozen=True)
class Step:
    """One training run.

    Attributes
    ----------
    name : of its folder. recipe, subrange : what to train. start_from : initial weights, as in `train`.
    teachers : names of the steps whose mean output is the label; empty: only supervised losses.
    numbers : options of the strategy `siamese`.
    """

    name: str
    recipe: Recipe
    subrange: int
    start_from: str | None = None
    teachers: tuple[str, ...] = ()
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FourSteps:
    """Settings of all training runs.

    Attributes
    ----------
    original, siamese, student : recipes. subrange : of the student; the networks use the one that contains it.
    tuning_steps : optimiser steps of each fine-tuning; None: an eighth of the recipe's.
    numbers : given options of the strategy `siamese`; `label_share` is for the student only.
    start_from : initial weights of the student, as in `train`.
    """

    original: Recipe
    siamese: Recipe
    student: Recipe
    subrange: int
    tuning_steps: int | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
    start_from: str | None = None

    def steps(self, folder: Path) -> tuple[Step, ...]:
        """Return the training runs in order; the student is the last.

        Raises
        ------
        UsageError: if a network cannot take the crops of another one or of the student, or for an unknown option or an
            ensemble that the student's sensor does not allow.
        """
        numbers = numbers_of("siamese", self.numbers)
        refuse_ensemble(numbers["ensemble"], self.student.cfa, f"recipe {self.student.name}")
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
        return recipe.with_rates(TUNING_RATE).shortened(steps)

    def _covering(self, recipe: Recipe) -> int:
        """Return the subrange of a network that contains the student's; raise UsageError if crops do not fit."""
        own = self.student.subrange(self.subrange)
        held = [recipe.subrange(index).covers(own.low, own.high) for index in range(recipe.num_subranges)]
        if True not in held:
            raise UsageError(
                f"no subrange of recipe {recipe.name} contains the noise range {own.low:.4g} to {own.high:.4g} of the "
                "student. Choose another recipe."
            )
        index = held.index(True)
        with torch.device("meta"):
            network: Any = build_network(recipe.network, recipe.network_config(index))
        for learner in (self.original, self.siamese, self.student):
            if learner.cfa != recipe.cfa:
                raise UsageError(
                    f"recipe {recipe.name} is for {NAMES_OF_KINDS[recipe.cfa]} sensors and recipe {learner.name} for"
                    f" {NAMES_OF_KINDS[learner.cfa]} ones. Choose another."
                )
            if learner.crop_px % network.stride or learner.input != recipe.input:
                raise UsageError(
                    f"the network of recipe {recipe.name} takes {recipe.input} in multiples of {network.stride} pixels,"
                    f" and the crops of recipe {learner.name} are {learner.input} of {learner.crop_px}. Choose another."
                )
        return index


def run_four_steps(
    plan: FourSteps,
    pictures: tuple[CleanSet | None, CleanSet | None],
    run: Run,
    vgg16: Path | None,
    display: ProgressDisplay,
    warn: Callable[[str], None] = lambda _: None,
) -> Checkpoint | None:
    """Train everything that is not yet trained; return the student's last state, or None if the time ran out before.

    Parameters
    ----------
    pictures : training and validation sets; None for dead leaves only. run : its folder gets a subfolder per step; its
        `minutes` are for all steps together; once they are used up, no second training begins. vgg16 : as in
        `build_losses`. warn : as in `train` and `Distillation.build`.

    Raises
    ------
    UsageError: as `FourSteps.steps` and `build_losses`. MemoryLimitError, OutputError: as `train`.
    ModelError: as `train`, also for a step with other recipes or teachers, or if the student's start does not exist.
    """
    steps = plan.steps(run.folder)
    _refuse_late_faults(plan, run.folder / steps[-1].name, vgg16)
    with joined_processes(run.device) as processes:
        began, trained = time.monotonic(), False
        for step in steps:
            own = run.part(run.folder / step.name, began)
            finished = _is_finished(step, own.folder)
            if processes.any(trained and not finished and own.is_over):
                return None
            state = _trained(step, pictures, own, vgg16, display, warn)
            if state.step < step.recipe.steps:
                return None
            trained = trained or not finished
        return state


def _refuse_late_faults(plan: FourSteps, student: Path, vgg16: Path | None) -> None:
    """Raise what would otherwise stop a step after the first ones are trained; `student` is the folder of the last."""
    build_losses(plan.original.losses | plan.siamese.losses | plan.student.losses, vgg16, torch.device("cpu"))
    if plan.start_from is not None and load_checkpoint(student) is None:
        find_trained(plan.start_from)


def _is_finished(step: Step, folder: Path) -> bool:
    state = load_checkpoint(folder)
    return state is not None and state.step >= step.recipe.steps


def _trained(
    step: Step,
    pictures: tuple[CleanSet | None, CleanSet | None],
    run: Run,
    vgg16: Path | None,
    display: ProgressDisplay,
    warn: Callable[[str], None],
) -> Checkpoint:
    """Train or resume a step in its folder and return its last state."""
    distillation = None
    if step.teachers:
        cards = tuple(card_of_run(run.folder.parent / name) for name in step.teachers)
        distillation = Distillation("siamese", cards, step.numbers)
    with display(f"{step.name} {step.recipe.name}") as listen:
        return train(
            step.recipe,
            step.subrange,
            pictures,
            _strategy_of(step, distillation, vgg16, warn),
            run,
            start_from=step.start_from,
            distillation=distillation.identity() if distillation else None,
            listen=listen,
            warn=warn,
        )


def _strategy_of(
    step: Step, distillation: Distillation | None, vgg16: Path | None, warn: Callable[[str], None]
) -> MakeStrategy:
    def strategy(device: torch.device, student: nn.Module) -> Strategy:
        if distillation is None:
            return Supervised(build_losses(step.recipe.losses, vgg16, device))
        return distillation.build(step.recipe, step.subrange, student, vgg16, device, warn)

    return strategy
