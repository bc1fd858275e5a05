"""The training loop: one recipe, one subrange, one strategy.

bf16 autocast and channels-last on every device, Adam with linear warm-up and cosine decay, gradient clipping, an
exponential average of the weights, validation of that average in float32. Data depends on the step alone, so a resumed
run computes what the uninterrupted one would have. Under `torchrun` every process takes its own batches.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
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
from rawkd.training.strategies import Strategy

VALIDATION_SEED, VALIDATION_BATCHES = 77, 12
FINAL_RATE = 1e-3
"""Learning rate at the end, as a share of its peak."""


@dataclass(frozen=True)
class Run:
    """Where and how long to train.

    Attributes
    ----------
    folder : of checkpoint and logs. device : of torch (cpu, cuda, mps). threads : of the CPU, None for all. workers : data processes; 0 synthesises in between.
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


def train(
    recipe: Recipe,
    subrange: int,
    pictures: tuple[CleanSet | None, CleanSet | None],
    make_strategy: Callable[[torch.device], Strategy],
    run: Run,
    *,
    start_from: Path | None = None,
    listen: Callable[[Progress], None] = lambda _: None,
) -> Checkpoint:
    """Train one student, or resume it, and return its last state.

    Parameters
    ----------
    pictures : training and held-out sets; None for leaves. make_strategy : on a device.
    start_from : the folder of a run whose averaged weights a new run begins with.

    Raises
    ------
    ModelError: for a checkpoint of another recipe, or a loss that is not finite (with the term's name).
    """
    device = torch.device(run.device)
    if run.threads is not None:
        torch.set_num_threads(run.threads)
    rank, world = _join_processes(device)
    torch.manual_seed(recipe.seed)
    student = build_network(recipe.network, recipe.network_config(subrange))
    average = build_network(recipe.network, recipe.network_config(subrange))
    identity = {"recipe": recipe_json(recipe), "subrange": subrange, "start_from": str(start_from) if start_from else None}
    optimiser = torch.optim.Adam(student.parameters(), recipe.learning_rate, fused=True)
    state = load_checkpoint(run.folder)
    if state is not None:
        refuse_other_recipe(state, identity, run.folder)
        student.load_state_dict(state.student)
        average.load_state_dict(state.average)
        optimiser.load_state_dict(state.optimiser)
    else:
        if start_from is not None:
            student.load_state_dict(_weights_of(start_from))
        average.load_state_dict(student.state_dict())
    student = student.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = average.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    for value in optimiser.state.values():
        value.update({key: item.to(device) for key, item in value.items() if torch.is_tensor(item) and item.ndim})
    parallel = nn.parallel.DistributedDataParallel(student) if world > 1 else student
    strategy = make_strategy(device)
    training = NoisyBatches(pictures[0], recipe, subrange, seed=recipe.seed, length=recipe.steps * world)
    validation = _validation_batches(pictures[1], recipe, subrange)
    first = state.step if state else 0
    spent, history = (state.seconds, list(state.history)) if state else (0.0, [])
    began = time.monotonic()
    journal = Journal(run.folder if rank == 0 else None)
    step = first
    for step, batch in enumerate(_batches(training, first, rank, world, run.workers), first + 1):
        _set_rate(optimiser, recipe, step)
        terms = _optimise(parallel, strategy, batch.to(device), optimiser, recipe.clip_norm, step)
        _follow(average, student, min(recipe.ema, step / (step + 10)))
        elapsed = time.monotonic() - began
        values = {**terms, "seconds_left": elapsed / (step - first) * (recipe.steps - step)}
        out_of_time = run.minutes is not None and elapsed > 60 * run.minutes
        if step % run.validate_every == 0 or step == recipe.steps or out_of_time:
            values |= validate(average, validation, device)
            history.append({"step": step, **{key: value for key, value in values.items() if key != "seconds_left"}})
            if rank == 0:
                state = Checkpoint(
                    step, identity, student.state_dict(), average.state_dict(), optimiser.state_dict(), spent + elapsed, history
                )
                save_checkpoint(run.folder, state)
                journal.write(step, values, average, validation[0])
        listen(Progress(step, recipe.steps, values))
        if out_of_time:
            break
    if state is None:
        raise ModelError(f"recipe {recipe.name} asks for no step")
    return state


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
    return -10 * torch.log10((planes - batch.clean).square().mean((1, 2, 3)) / batch.sigma**2)


def _optimise(
    student: nn.Module, strategy: Strategy, batch: Batch, optimiser: torch.optim.Optimizer, clip_norm: float, step: int
) -> dict[str, float]:
    with torch.autocast(batch.noisy.device.type, torch.bfloat16):
        terms = strategy.step(student, batch)
    for name, term in terms.items():
        if not torch.isfinite(term):
            raise ModelError(f"the loss {name} is not finite at step {step}: lower the learning rate or leave the term out")
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(student.parameters(), clip_norm)
    optimiser.step()
    return {name: term.item() for name, term in terms.items()}


def _set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, step: int) -> None:
    """Linear warm-up, then a cosine down to `FINAL_RATE` of the peak."""
    warm = min(1.0, step / max(1, recipe.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * (step - 1) / recipe.steps))
    for group in optimiser.param_groups:
        group["lr"] = recipe.learning_rate * warm * (FINAL_RATE + (1 - FINAL_RATE) * cosine)


def _follow(average: nn.Module, student: nn.Module, decay: float) -> None:
    with torch.no_grad():
        own, new = list(average.parameters()), list(student.parameters())
        torch._foreach_lerp_(own, new, 1 - decay)


def _validation_batches(pictures: CleanSet | None, recipe: Recipe, subrange: int) -> list[Batch]:
    batches = NoisyBatches(pictures, recipe, subrange, seed=VALIDATION_SEED, length=VALIDATION_BATCHES, exact=True)
    return [batches[index] for index in range(len(batches))]


def _batches(training: NoisyBatches, first: int, rank: int, world: int, workers: int) -> Iterator[Batch]:
    mine = Subset(training, range(first * world + rank, len(training), world))
    return iter(DataLoader(mine, batch_size=None, num_workers=workers, pin_memory=torch.cuda.is_available()))


def _weights_of(folder: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(folder)
    if checkpoint is None:
        raise ModelError(f"{folder} holds no run to start from")
    return checkpoint.average


def _join_processes(device: torch.device) -> tuple[int, int]:
    """Rank and number of the processes that `torchrun` started; (0, 1) without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return int(os.environ.get("RANK", "0")), world
