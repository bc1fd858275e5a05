"""The trainable parts of a run: student, weight average, strategy and optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.graph.int8 import decode
from rawkd.networks import build_network
from rawkd.training.config import Recipe
from rawkd.training.data.dataset import Batch
from rawkd.training.run.grow import grow
from rawkd.training.run.int8 import round_as_int8
from rawkd.training.run.muon import MuonAndAdam
from rawkd.training.run.precision import name_of
from rawkd.training.run.prune import can_prune, prune
from rawkd.training.saved.checkpoint import Checkpoint
from rawkd.training.saved.trained import TrainedCard, load_trained
from rawkd.training.strategies import Strategy

MakeStrategy = Callable[[torch.device, nn.Module], Strategy]
"""Creates a strategy from a device and a student."""


@dataclass(frozen=True)
class Learner:
    """Student, running average of its weights, strategy with its adapters, and optimiser of student and adapters.

    `dtype` is the number format of the matrix products of a step: bfloat16 or float32.
    """

    student: nn.Module
    average: nn.Module
    strategy: Strategy
    optimiser: torch.optim.Optimizer | MuonAndAdam
    dtype: torch.dtype

    @classmethod
    def of(
        cls, recipe: Recipe, subrange: int, device: torch.device, make_strategy: MakeStrategy, dtype: torch.dtype
    ) -> Learner:
        """Create a learner; the seed of the recipe gives the student the same weights for every strategy.

        Raises
        ------
        ModelError: if the network does not take the planes of the recipe's sensor, or none of its parameters learns.
        """
        torch.manual_seed(recipe.seed)
        student, average = (
            build_network(recipe.network, recipe.network_config(subrange)).to(
                device,
                memory_format=torch.channels_last,  # type: ignore[call-overload]
            )
            for _ in range(2)
        )
        if student.in_channels not in (recipe.channels, 2 * recipe.channels):
            raise ModelError(
                f"the recipe {recipe.name} has mosaics of {recipe.channels} planes, and its network takes"
                f" {student.in_channels}. Correct its configuration."
            )
        if recipe.learning:
            for name, parameter in student.named_parameters():
                parameter.requires_grad_(name.startswith(tuple(recipe.learning)))
        if not any(parameter.requires_grad for parameter in student.parameters()):
            names = " or ".join(recipe.learning)
            raise ModelError(f"no parameter of the network begins with {names}. Correct the recipe's learning.")
        average.load_state_dict(student.state_dict())
        for network in (student, average):
            round_as_int8(network, decode(recipe.int8))
        strategy = make_strategy(device, student)
        trained = nn.ModuleList([student] if strategy.adapters is None else [student, strategy.adapters])
        return cls(student, average.eval(), strategy, _optimiser(trained, recipe, dtype), dtype)

    def resume(self, state: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises
        ------
        ModelError: if only one of checkpoint and strategy has adapters, or the checkpoint is a snapshot.
        """
        if not state.student:
            raise ModelError("a snapshot cannot be resumed. Give another --out, and its folder as --start-from.")
        adapters = self.strategy.adapters
        if (adapters is None) != (state.adapters is None):
            raise ModelError("the checkpoint was made by another strategy. Give another --out.")
        self.student.load_state_dict(state.student)
        self.average.load_state_dict(state.average)
        if adapters is not None and state.adapters is not None:
            adapters.load_state_dict(state.adapters)
        self.optimiser.load_state_dict(state.optimiser)

    def start_from(self, trained: TrainedCard, crops: Callable[[], list[Batch]]) -> None:
        """Start with the weights of a model or of another run.

        A FA-Net can also start from a smaller one (`grow`) or a larger one (`prune`).

        Parameters
        ----------
        crops : returns batches of one crop each, to measure which parts of a larger network matter.

        Raises
        ------
        ModelError: if these weights do not fit the network and cannot be made to.
        """
        device = next(self.student.parameters()).device
        begun = load_trained(trained).to(device)
        if _shapes(begun) == _shapes(self.student):
            self.student.load_state_dict(begun.state_dict())
        else:
            try:
                if can_prune(begun, self.student):
                    prune(begun, self.student, self._loss, [crop.to(device) for crop in crops()])
                else:
                    grow(begun, self.student)
            except ModelError as error:
                raise ModelError(f"{trained.name} has weights of another network: {error}") from error
        self.average.load_state_dict(self.student.state_dict())

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of the supervised losses of a network for a batch."""
        return torch.stack(list(self.strategy.supervised.step(network, batch, 0.0).values())).sum()

    def follow(self, decay: float) -> None:
        """Update the weight average: move it towards the student by the fraction 1 - decay."""
        own: list[Tensor] = list(self.average.parameters())
        new: list[Tensor] = list(self.student.parameters())
        with torch.no_grad():
            torch._foreach_lerp_(own, new, 1 - decay)

    def checkpoint(self, step: int, run: dict[str, Any], seconds: float, history: list[dict[str, float]]) -> Checkpoint:
        """Return the state after `step` steps."""
        adapters = self.strategy.adapters
        return Checkpoint(
            step=step,
            recipe=run,
            student=self.student.state_dict(),
            average=self.average.state_dict(),
            optimiser=self.optimiser.state_dict(),
            seconds=seconds,
            history=history,
            adapters=None if adapters is None else adapters.state_dict(),
            precision=name_of(self.dtype),
        )


def _shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in network.state_dict().items()}


def _optimiser(trained: nn.Module, recipe: Recipe, dtype: torch.dtype) -> torch.optim.Optimizer | MuonAndAdam:
    if recipe.kernel_rate is None:
        return torch.optim.Adam(trained.parameters(), recipe.learning_rate, fused=True)
    return MuonAndAdam(trained, recipe.learning_rate, recipe.kernel_rate, dtype)
