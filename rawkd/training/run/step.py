"""One optimiser step, with an error that states the largest batch if the device runs out of memory."""

from __future__ import annotations

import math
import traceback

import torch
from torch import Tensor, nn

from rawkd.errors import MemoryLimitError, ModelError
from rawkd.training.config import Recipe
from rawkd.training.data.dataset import Batch
from rawkd.training.run.distributed import Processes
from rawkd.training.run.learner import Learner


class DivergedError(ModelError):
    """A loss or a gradient is not finite."""


def optimise(
    student: nn.Module, learner: Learner, batch: Batch, recipe: Recipe, step: int, processes: Processes
) -> dict[str, float]:
    """Make step number `step` for student and adapters, and return the weighted losses by name.

    Parameters
    ----------
    student : that of the learner, wrapped so that gradients are averaged over the processes.

    Raises
    ------
    DivergedError: if a loss or a gradient is not finite.
    MemoryLimitError: if the step does not fit into memory (with the number of crops that fit).
    """
    learner.optimiser.zero_grad(set_to_none=True)
    terms = _backward_that_fits(student, learner, batch, (step - 1) / recipe.steps, step)
    if learner.strategy.adapters is not None:
        processes.average_gradients(learner.strategy.adapters)
    trained = [parameter for group in learner.optimiser.param_groups for parameter in group["params"]]
    if not torch.isfinite(nn.utils.clip_grad_norm_(trained, recipe.clip_norm)):
        raise DivergedError(f"the gradients are not finite at step {step}. Lower the learning rate.")
    learner.optimiser.step()
    return terms


def _backward(student: nn.Module, learner: Learner, batch: Batch, progress: float, step: int) -> dict[str, float]:
    """Run the backward pass, which adds to the gradients of student and adapters; return the losses by name."""
    with torch.autocast(batch.noisy.device.type, torch.bfloat16, enabled=learner.dtype == torch.bfloat16):
        terms = learner.strategy.step(student, batch, progress)
    losses = torch.stack(list(terms.values()))
    values = dict(zip(terms, losses.tolist(), strict=True))  # waits for the device once
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss {name} is not finite at step {step}. Lower the learning rate, or leave this loss out."
            )
    losses.sum().backward()  # type: ignore[no-untyped-call]
    return values


def gradients_of(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Return the gradients of the student for a batch at step 1, by parameter name; without those that are None.

    Raises
    ------
    DivergedError, MemoryLimitError: as `optimise`.
    """
    learner.optimiser.zero_grad(set_to_none=True)
    _backward_that_fits(learner.student, learner, batch, 0.0, 1)
    found = {name: own.grad for name, own in learner.student.named_parameters() if own.grad is not None}
    learner.optimiser.zero_grad(set_to_none=True)
    return found


def _backward_that_fits(
    student: nn.Module, learner: Learner, batch: Batch, progress: float, step: int
) -> dict[str, float]:
    try:
        return _backward(student, learner, batch, progress, step)
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # its frames keep the tensors that fill the memory
        raise _too_large(learner, batch, progress, step) from error


def _too_large(learner: Learner, batch: Batch, progress: float, step: int) -> MemoryLimitError:
    """Return the error with the number of crops that fit, which is found by halving."""
    count, _, height, width = batch.noisy.shape
    fault = f"{count} crops of {height}x{width} packed pixels a step do not fit into the memory of {batch.noisy.device}"
    while count := count // 2:
        learner.optimiser.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        try:
            _backward(learner.student, learner, batch.first(count), progress, step)
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
        else:
            return MemoryLimitError(f"{fault}, but {count} do. Give --batch {count}.")
    return MemoryLimitError(f"{fault}, nor does a single one. Use a recipe with smaller crops or a smaller teacher.")
