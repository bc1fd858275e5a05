"""A student compiled by torch, once its gradients are proved to be those of the student as it is.

Compilers lose gradients without a word: torch 2.13 on a CPU gives a FA-Net of patches none below its last upsampling,
and a run of it goes on learning with the rest.
"""

from __future__ import annotations

import torch
from torch import nn

from rawkd.errors import ModelError
from rawkd.training.data.dataset import Batch
from rawkd.training.run.learner import Learner
from rawkd.training.run.step import gradients_of

SHAKE, SEED = 0.1, 5
"""Part of its rms by which a weight is moved for the proof; of 1 where it is nothing, which hides what is below."""
MOST_APART, WORTH_PROVING = 0.3, 1e-3
"""Distance of two gradients in units of one, for bf16 about 0.1; share of all that one must have to be compared."""


def compile_proved(learner: Learner, batch: Batch) -> None:
    """Let torch compile the student in place.

    Raises
    ------
    ModelError: if torch cannot do it here, or computes other gradients; the sentence says what to leave out.
    DivergedError, MemoryLimitError: as `optimise`.
    """
    student = learner.student
    weights = {name: value.clone() for name, value in student.state_dict().items()}
    _shake(student)
    plain = gradients_of(learner, batch)
    student.compile()
    try:
        compiled = gradients_of(learner, batch)
    except RuntimeError as error:
        if not _is_of_compiler(error):
            raise
        reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
        raise ModelError(f"torch cannot compile the network here ({reason}): leave out --compile") from error
    student.load_state_dict(weights)
    total = torch.stack([gradient.norm() for gradient in plain.values()]).norm()
    for name, gradient in plain.items():
        apart = (compiled[name] - gradient).norm() if name in compiled else gradient.norm()
        if gradient.norm() > WORTH_PROVING * total and not apart < MOST_APART * gradient.norm():
            raise ModelError(
                f"torch {torch.__version__} compiles the network to another one here (its gradient of {name} is off by "
                f"{apart / gradient.norm():.0%}): leave out --compile"
            )


def _shake(network: nn.Module) -> None:
    """Move every weight, the same way each time."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in network.parameters():
            strength = SHAKE * (parameter.square().mean().sqrt().item() or 1.0)
            moved = strength * torch.randn(parameter.shape, generator=generator)
            parameter.add_(moved.to(parameter.device))


def _is_of_compiler(error: RuntimeError) -> bool:
    """Whether torch's compiler failed: its exceptions are looked up only now, since their import takes a second."""
    from torch._dynamo.exc import BackendCompilerFailed  # torch has no public name for it

    return isinstance(error, BackendCompilerFailed)
