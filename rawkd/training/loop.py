"""The training loop: one recipe, one subrange, one strategy.

bf16 autocast and channels-last on every device, Adam with linear warm-up and cosine decay, gradient clipping, an
exponential average of the weights, validation of that average in float32. Data depends on the step alone, so a resumed
run computes what the uninterrupted one would have. Under `torchrun` every process takes its own batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from rawkd.errors import ModelError
from rawkd.networks import build_network
from rawkd.training.checkpoint import Checkpoint, load_checkpoint, refuse_other_recipe, save_checkpoint
from rawkd.training.clean import CleanSet
from rawkd.training.config import Recipe, recipe_json
from rawkd.training.dataset import Batch, NoisyBatches
from rawkd.training.journal import Journal
from rawkd.training.processes import Processes, joined_processes
from rawkd.training.step import optimise
from rawkd.training.strategies import Strategy

VALIDATION_SEED, VALIDATION_BATCHES = 77, 12
FINAL_RATE = 1e-3
"""Learning rate at the end, as a share of its peak."""


@dataclass(frozen=True)
class Run:
    """Where and how long to train.

    Attributes
    ----------
    folder : of checkpoint and logs. device : of torch (cpu, cuda, mps). threads : of the CPU, None for all.
    workers : data processes; 0 synthesises in between.
    validate_every : steps between validations and checkpoints. minutes : stop (to be resumed) after so long.
    """

    folder: Path
    device: str = "cpu"
    threads: int | None = None
    workers: int = 0
    validate_every: int = 1000
    minutes: float | None = None


@dataclass(frozen=True)
class Progress:
    """What a listener hears: the step, all steps, and values by name (losses, seconds left, validation)."""

    step: int
    steps: int
    values: dict[str, float]


@dataclass(frozen=True)
class Learner:
    """The network that is trained, its running average, and what trains it."""

    student: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer

    @classmethod
    def of(cls, recipe: Recipe, subrange: int, device: torch.device) -> Learner:
        """With the weights that the recipe's seed draws."""
        torch.manual_seed(recipe.seed)
        student, average = (
            build_network(recipe.network, recipe.network_config(subrange)).to(
                device,
                memory_format=torch.channels_last,  # type: ignore[call-overload]
            )
            for _ in range(2)
        )
        average.load_state_dict(student.state_dict())
        return cls(student, average.eval(), torch.optim.Adam(student.parameters(), recipe.learning_rate, fused=True))

    def resume(self, state: Checkpoint) -> None:
        """Take up a run where its checkpoint left it."""
        self.student.load_state_dict(state.student)
        self.average.load_state_dict(state.average)
        self.optimiser.load_state_dict(state.optimiser)

    def start_from(self, folder: Path) -> None:
        """Begin with the averaged weights of another run."""
        checkpoint = load_checkpoint(folder)
        if checkpoint is None:
            raise ModelError(f"{folder} holds no run to start from")
        try:
            self.student.load_state_dict(checkpoint.average)
        except RuntimeError as error:
            raise ModelError(f"{folder} holds weights of another network: start from one of the same recipe") from error
        self.average.load_state_dict(checkpoint.average)

    def checkpoint(self, step: int, run: dict[str, Any], seconds: float, history: list[dict[str, float]]) -> Checkpoint:
        """The state after `step` steps."""
        student, average = self.student.state_dict(), self.average.state_dict()
        return Checkpoint(step, run, student, average, self.optimiser.state_dict(), seconds, history)


def train(
    recipe: Recipe,
    subrange: int,
    pictures: tuple[CleanSet | None, CleanSet | None],
    make_strategy: Callable[[torch.device], Strategy],
    run: Run,
    *,
    start_from: Path | None = None,
    distillation: dict[str, Any] | None = None,
    listen: Callable[[Progress], None] = lambda _: None,
) -> Checkpoint:
    """Train one student, or resume it, and return its last state.

    Parameters
    ----------
    pictures : training and held-out sets; None for leaves. make_strategy : on a device.
    start_from : the folder of a run whose averaged weights a new run begins with.
    distillation : plain JSON of the strategy and its teacher, which a resumed run must agree in.

    Raises
    ------
    ModelError: for a checkpoint of another recipe, or a loss that is not finite (with the term's name).
    MemoryLimitError: if a step does not fit into the device's memory; says how many crops do.
    """
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    identity = _identity(recipe, subrange, start_from, distillation)
    with (
        joined_processes(run.device) as processes,
        closing(Journal(run.folder if processes.leads else None)) as journal,
    ):
        device = processes.device
        learner = Learner.of(recipe, subrange, device)
        state = _begin(learner, run.folder, identity, start_from)
        parallel, strategy = processes.parallel(learner.student), make_strategy(device)
        length = recipe.steps * processes.world
        training = NoisyBatches(pictures[0], recipe, subrange, seed=recipe.seed, length=length)
        validation = _validation_batches(pictures[1], recipe, subrange)
        first, spent, began = state.step, state.seconds, time.monotonic()
        for step, batch in enumerate(_batches(training, first, processes, run.workers), first + 1):
            _set_rate(learner.optimiser, recipe, step)
            terms = optimise(parallel, strategy, batch.to(device), learner.optimiser, recipe.clip_norm, step)
            _follow(learner.average, learner.student, min(recipe.ema, step / (step + 10)))
            elapsed = time.monotonic() - began
            out_of_time = run.minutes is not None and processes.any(elapsed > 60 * run.minutes)
            values = dict(terms)
            if step % run.validate_every == 0 or step == recipe.steps or out_of_time:
                values |= validate(learner.average, validation, device)
                history = [*state.history, {"step": step, **values}]
                state = learner.checkpoint(step, identity, spent + elapsed, history)
                if processes.leads:
                    save_checkpoint(run.folder, state)
                    journal.write(step, values, learner.average, validation[0])
            seconds_left = elapsed / (step - first) * (recipe.steps - step)
            listen(Progress(step, recipe.steps, {**values, "seconds_left": seconds_left}))
            if out_of_time:
                break
        return state


def _identity(
    recipe: Recipe, subrange: int, start_from: Path | None, distillation: dict[str, Any] | None
) -> dict[str, Any]:
    """What a checkpoint must agree in to be resumed."""
    start = str(start_from) if start_from else None
    identity = {"recipe": recipe_json(recipe), "subrange": subrange, "start_from": start}
    return identity | ({"distillation": distillation} if distillation else {})


def _begin(learner: Learner, folder: Path, identity: dict[str, Any], start_from: Path | None) -> Checkpoint:
    """The learner as its run's checkpoint has it, or at its start."""
    state = load_checkpoint(folder)
    if state is not None:
        refuse_other_recipe(state, identity, folder)
        learner.resume(state)
        return state
    if start_from is not None:
        learner.start_from(start_from)
    return learner.checkpoint(0, identity, 0.0, [])


def validate(network: nn.Module, batches: list[Batch], device: torch.device) -> dict[str, float]:
    """Mean PSNR over the crops in units of their rms noise, and its gain over the noisy crops, dB; float32."""
    gains, errors = [], []
    with torch.no_grad():
        for batch in batches:
            moved = batch.to(device)
            after = _noise_db(network(moved.noisy), moved)
            errors.append(after)
            gains.append(after - _noise_db(moved.noisy, moved))
    return {"val_psnr_gain_db": float(torch.cat(gains).mean()), "val_noise_db": float(-torch.cat(errors).mean())}


def _noise_db(planes: Tensor, batch: Batch) -> Tensor:
    """PSNR of every crop, its rms noise being the peak, dB."""
    return -10 * torch.log10((planes - batch.clean).square().mean((1, 2, 3)) / batch.sigma**2)


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, step: int) -> None:
    """Linear warm-up, then a cosine down to `FINAL_RATE` of the peak."""
    warm = min(1.0, step / max(1, recipe.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * (step - 1) / recipe.steps))
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


def _follow(average: nn.Module, student: nn.Module, decay: float) -> None:
    """Move the average towards the student by 1 - decay."""
    own: list[Tensor] = list(average.parameters())
    new: list[Tensor] = list(student.parameters())
    with torch.no_grad():
        torch._foreach_lerp_(own, new, 1 - decay)


def _validation_batches(pictures: CleanSet | None, recipe: Recipe, subrange: int) -> list[Batch]:
    batches = NoisyBatches(pictures, recipe, subrange, seed=VALIDATION_SEED, length=VALIDATION_BATCHES, exact=True)
    return [batches[index] for index in range(len(batches))]


def _batches(training: NoisyBatches, first: int, processes: Processes, workers: int) -> Iterator[Batch]:
    """The batches of one process from step `first` on."""
    mine = Subset(training, range(first * processes.world + processes.rank, len(training), processes.world))
    return iter(DataLoader(mine, batch_size=None, num_workers=workers, pin_memory=processes.device.type == "cuda"))
