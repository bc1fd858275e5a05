"""The processes of one run: one, or as many as `torchrun` started on one machine or several."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from rawkd.errors import UsageError


@dataclass(frozen=True)
class Processes:
    """One process among its fellows.

    Attributes
    ----------
    rank, world : its number and how many there are. device : its own torch device.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes files."""
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network, its gradients averaged over all processes."""
        return nn.parallel.DistributedDataParallel(network) if self.world > 1 else network

    def average_gradients(self, network: nn.Module) -> None:
        """Give every process the mean of all processes' gradients of a network that is not wrapped.

        A parameter without a gradient must be without one in all of them.
        """
        for parameter in network.parameters():
            if self.world > 1 and parameter.grad is not None:
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= self.world

    def any(self, here: bool) -> bool:
        """Whether it holds in any process: all of them get the same answer."""
        if self.world == 1:
            return here
        votes = torch.tensor(float(here), device=self.device)
        torch.distributed.all_reduce(votes)
        return votes.item() > 0


def rank_in_environment() -> int:
    """The number that `torchrun` gave this process; 0 without it."""
    return int(os.environ.get("RANK", "0"))


def world_in_environment() -> int:
    """The number of processes that `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_unknown_device(device: str) -> None:
    """Raise UsageError if torch has no such device, or cannot use it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"torch cannot use the device {device} ({reason}): give another --device") from error


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the other processes of the run; on a machine with several GPUs each takes its own.

    Where they are joined already they stay so afterwards: a process can join the others but once. Whatever the leader
    wrote within is there for all of them at the end.
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


@contextmanager
def kept_child_signal() -> Iterator[None]:
    """Leave the handler of ended children as it was.

    torch's data workers set one for good. After OpenVINO has run in bf16 (AMX), Linux ends a process with a
    segmentation fault when it has to call such a handler, so the next raw decoder that ends would be the last.
    """
    child = getattr(signal, "SIGCHLD", None)
    if child is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(child)
    try:
        yield
    finally:
        signal.signal(child, before)
