"""Processes of a training run: a single one, or those that `torchrun` started on one or several machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from rawkd.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """One of the processes of a training run.

    Attributes
    ----------
    rank : its number, from 0. world : number of processes. device : its torch device.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return the network, wrapped so that its gradients are averaged over all processes."""
        return nn.parallel.DistributedDataParallel(network) if self.world > 1 else network

    def average_gradients(self, network: nn.Module) -> None:
        """Average the gradients of a network without wrapper over all processes, in place.

        A parameter must have a gradient in all processes or in none.
        """
        for parameter in network.parameters():
            if self.world > 1 and parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world

    def any(self, here: bool) -> bool:
        """Return whether `here` is true in any process; all processes get the same result."""
        if self.world == 1:
            return here
        votes = torch.tensor(float(here), device=self.device)
        torch.distributed.all_reduce(votes)
        return votes.item() > 0


def rank_in_environment() -> int:
    """Return the number that `torchrun` gave this process; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def world_in_environment() -> int:
    """Return the number of processes that `torchrun` started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_unknown_device(device: str) -> None:
    """Raise UsageError if torch does not know the device or cannot use it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"torch cannot use the device {device} ({reason}). Give another --device.") from error


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Connect this process with the others of the run; on a machine with several GPUs each process uses its own.

    A process can connect only once, so an existing connection is kept open. At the end all processes wait for each
    other, so that files of the main process exist for all.
    """
    world = world_in_environment()
    own = torch.device(device)
    if world == 1:
        yield Processes(0, 1, own)
        return
    if own.type == "cuda":
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(own)
    joins = not torch.distributed.is_initialized()
    if joins:
        torch.distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(rank_in_environment(), world, own)
        torch.distributed.barrier()
    finally:
        if joins:
            torch.distributed.destroy_process_group()
