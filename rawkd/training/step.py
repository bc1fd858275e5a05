"""One step of the optimiser, and what to do when the device's memory is too small for it."""

from __future__ import annotations

import traceback

import torch
from torch import Tensor, nn

from rawkd.errors import MemoryLimitError, ModelError
from rawkd.training.dataset import Batch
from rawkd.training.strategies import Strategy


def optimise(
    student: nn.Module, strategy: Strategy, batch: Batch, optimiser: torch.optim.Optimizer, clip_norm: float, step: int
) -> dict[str, float]:
    """One step; the weighted losses by name.

    Raises
    ------
    ModelError: if a loss is not finite. MemoryLimitError: if the step does not fit, with the crops that do.
    """
    optimiser.zero_grad(set_to_none=True)
    try:
        terms = _backward(student, strategy, batch, step)
    except torch.OutOfMemoryError as error:
        traceback.clear_frames(error.__traceback__)  # they hold the tensors that filled the memory
        raise _too_large(student, strategy, batch, step) from error
    nn.utils.clip_grad_norm_(student.parameters(), clip_norm)
    optimiser.step()
    return {name: term.item() for name, term in terms.items()}


def _backward(student: nn.Module, strategy: Strategy, batch: Batch, step: int) -> dict[str, Tensor]:
    """The weighted losses by name, their gradients added to the student's."""
    with torch.autocast(batch.noisy.device.type, torch.bfloat16):
        terms = strategy.step(student, batch)
    for name, term in terms.items():
        if not torch.isfinite(term):
            raise ModelError(
                f"the loss {name} is not finite at step {step}: lower the learning rate or leave the term out"
            )
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    return terms


def _too_large(student: nn.Module, strategy: Strategy, batch: Batch, step: int) -> MemoryLimitError:
    """The error that names the number of crops which do fit, found by halving."""
    alone = student.module if isinstance(student, nn.parallel.DistributedDataParallel) else student
    count, _, height, width = batch.noisy.shape
    asked = f"{count} crops of {height}x{width} packed pixels a step do not fit into the memory of {batch.noisy.device}"
    while count := count // 2:
        alone.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        try:
            _backward(alone, strategy, Batch(*(tensor[:count] for tensor in batch)), step)
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
        else:
            return MemoryLimitError(f"{asked}: {count} do, give --batch {count}")
    return MemoryLimitError(f"{asked}, and not one does: take a recipe of smaller crops or a smaller teacher")
