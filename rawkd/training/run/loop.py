"""The training loop for one recipe, subrange and strategy.

It uses channels-last and bf16 where that is faster, Adam or Muon with linear warm-up and cosine decay, gradient
clipping, and an exponential average of the weights (`validation`). Data depends only on the step, so a resumed run is
the uninterrupted one. With `torchrun`, each process has its own batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset

from rawkd.errors import UsageError
from rawkd.training.config import Recipe
from rawkd.training.data.batches import Batches, batches_of
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import Batch
from rawkd.training.run.begin import begin
from rawkd.training.run.compiled import compile_checked
from rawkd.training.run.distributed import Processes, joined_processes
from rawkd.training.run.importance import single_crops
from rawkd.training.run.learner import Learner, MakeStrategy
from rawkd.training.run.muon import MuonAndAdam
from rawkd.training.run.precision import AUTO, chosen_dtype
from rawkd.training.run.speed import Speed
from rawkd.training.run.step import optimise
from rawkd.training.run.tensorboard import TensorBoardLog
from rawkd.training.run.validation import validate, validation_batches
from rawkd.training.saved.checkpoint import (
    Checkpoint,
    create_folder,
    load_checkpoint,
    save_checkpoint,
    save_snapshot,
)
from rawkd.training.saved.identity import identity_of

FINAL_RATE = 1e-3
"""Learning rate at the end, as a fraction of its peak."""


@dataclass(frozen=True)
class Run:
    """Where and how long to train.

    Attributes
    ----------
    folder : for checkpoints and logs. device : of torch (cpu, cuda, mps). threads : of the CPU, None for all.
    workers : data processes; 0: a thread prepares the next batch while the network computes.
    validate_every : steps between validations and checkpoints. minutes : time after which the run stops; the next call
        resumes it.
    compiled : whether to compile the student with torch, which takes minutes and then makes every step faster.
    snapshot : folder for the averaged weights in fp16 at every validation; None: no snapshots.
    precision : number format of the matrix products: bf16 | f32 | auto, as `precision.chosen_dtype`.

    Raises
    ------
    UsageError: if snapshots would replace the checkpoint.
    """

    folder: Path
    device: str = "cpu"
    threads: int | None = None
    workers: int = 0
    validate_every: int = 1000
    minutes: float | None = None
    compiled: bool = False
    snapshot: Path | None = None
    precision: str = AUTO

    def __post_init__(self) -> None:
        if self.snapshot is not None and self.snapshot.resolve() == self.folder.resolve():
            raise UsageError(f"{self.folder}: snapshots would replace the run's checkpoint. Give another --snapshot.")

    def part(self, folder: Path, began: float) -> Run:
        """Return the settings of one of several trainings: in `folder`, with the minutes left since `began`."""
        return replace(self, folder=folder, minutes=minutes_left(self.minutes, began))

    @property
    def is_over(self) -> bool:
        """Whether no minutes are left."""
        return self.minutes is not None and self.minutes <= 0


def minutes_left(minutes: float | None, began: float) -> float | None:
    """Return what is left of `minutes` since `began`, seconds of `time.monotonic`; None without a limit."""
    return None if minutes is None else minutes - (time.monotonic() - began) / 60


@dataclass(frozen=True)
class Progress:
    """Progress of a run after a step.

    Attributes
    ----------
    step, steps : number of the step, and of all steps.
    values : losses and validation by name; `mp_per_s`, megapixels of mosaic per second; `gflops`, 1e9 floating-point
        operations per second, two per multiply-accumulate (`speed`); `seconds_left`, remaining time of the run.
    """

    step: int
    steps: int
    values: dict[str, float]


ProgressDisplay = Callable[[str], AbstractContextManager[Callable[[Progress], None]]]
"""Opens the progress display of one training with a label; the result is called with every `Progress`."""


def train(
    recipe: Recipe,
    subrange: int,
    pictures: tuple[CleanSet | None, CleanSet | None],
    make_strategy: MakeStrategy,
    run: Run,
    *,
    start_from: str | None = None,
    distillation: dict[str, Any] | None = None,
    listen: Callable[[Progress], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Checkpoint:
    """Train or resume one student, and return its last state.

    Parameters
    ----------
    pictures : training and validation sets; None for dead leaves only.
    make_strategy : creates the strategy; its adapters are trained with the student but not averaged.
    start_from : initial weights of a new run: the folder of a run or of a model, or the name of a shipped model.
    distillation : plain JSON of the strategy and its teacher; a resumed run must have the same.
    listen : called after every step. tell : called with the number format.
    warn : called with a message if the newest checkpoint is damaged, and as in `begin` and `chosen_dtype`.

    Raises
    ------
    UsageError: if only some parameters learn and there are no weights to start from.
    ModelError: for a checkpoint of another recipe or other pictures, or a loss that is not finite (with its name).
    MemoryLimitError: if a step does not fit into the device's memory (with the number of crops that fit).
    OutputError: if the folder cannot be created, or a checkpoint or snapshot cannot be written.
    """
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    identity = identity_of(recipe, subrange, start_from, distillation)
    with (
        joined_processes(run.device) as processes,
        closing(TensorBoardLog(run.folder if processes.is_main else None)) as log,
    ):
        device = processes.device
        kept = load_checkpoint(run.folder, warn)
        dtype = chosen_dtype(run.precision, kept.precision if kept else None, processes, tell, warn)
        learner = Learner.of(recipe, subrange, device, make_strategy, dtype)
        length, weaker = recipe.steps * processes.world, learner.strategy.weaker_noise
        crops = partial(single_crops, pictures[0], recipe, subrange)
        state = begin(
            learner,
            recipe,
            kept=kept,
            folder=run.folder,
            identity=identity,
            start_from=start_from,
            pictures=pictures,
            crops=crops,
            warn=warn,
        )
        if state.step >= recipe.steps:
            return state
        training = batches_of(pictures[0], recipe, subrange, seed=recipe.seed, length=length, weaker=weaker)
        validation = validation_batches(pictures[1], recipe, subrange)
        if run.compiled:
            compile_checked(learner, training[0].to(device))
        speed = Speed.of(learner.average, recipe, processes.world)
        parallel = processes.parallel(learner.student)
        create_folder(run.folder)  # not before all is known to fit
        first, spent, began = state.step, state.seconds, time.monotonic()
        for step, batch in enumerate(_batches(training, first, processes, run.workers), first + 1):
            _set_rate(learner.optimiser, recipe, step)
            terms = optimise(parallel, learner, batch.to(device), recipe, step, processes)
            learner.follow(min(recipe.ema, step / (step + 10)))
            elapsed = time.monotonic() - began
            out_of_time = run.minutes is not None and processes.any(elapsed > 60 * run.minutes)
            values = dict(terms)
            if step % run.validate_every == 0 or step == recipe.steps or out_of_time:
                values |= validate(learner.average, validation, device)
                history = [*state.history, {"step": step, **values}]
                state = replace(learner.checkpoint(step, identity, spent + elapsed, history), origin=state.origin)
                if processes.is_main:
                    save_checkpoint(run.folder, state)
                    if run.snapshot is not None:
                        save_snapshot(run.snapshot, state)
                    log.write(step, values, learner.average, validation[0])
            listen(Progress(step, recipe.steps, values | speed.after(step - first, elapsed, recipe.steps - step)))
            if out_of_time:
                break
        return state


def _set_rate(optimiser: torch.optim.Optimizer | MuonAndAdam, recipe: Recipe, step: int) -> None:
    """Set the learning rates: linear warm-up, full rate, then a cosine to `FINAL_RATE` over the recipe's `decay`."""
    warm = min(1.0, step / max(1, recipe.warmup_steps))
    falling = max(0.0, (step - 1) / recipe.steps - (1 - recipe.decay)) / recipe.decay if recipe.decay else 0.0
    cosine = 0.5 * (1 + math.cos(math.pi * falling))
    for group, rate in zip(optimiser.param_groups, recipe.rates, strict=True):
        group["lr"] = rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


def _batches(training: Batches, first: int, processes: Processes, workers: int) -> Iterator[Batch]:
    """Return the batches of one process after step `first`."""
    mine = range(first * processes.world + processes.rank, len(training), processes.world)
    if workers == 0:
        return prefetched(training, mine)
    pinned = processes.device.type == "cuda"
    return iter(DataLoader(Subset(training, mine), batch_size=None, num_workers=workers, pin_memory=pinned))


def prefetched(training: Batches, numbers: range) -> Iterator[Batch]:
    """Yield batches by number; a thread prepares the next one while the caller uses the current one."""
    with ThreadPoolExecutor(1, thread_name_prefix="batch") as pool:
        coming = [pool.submit(training.__getitem__, numbers[0])] if numbers else []
        for following in [*numbers[1:], None]:
            if coming:
                batch = coming.pop().result()
                if following is not None:
                    coming.append(pool.submit(training.__getitem__, following))
                yield batch
