"""Compile a student with torch, and check that the compiled network has the same gradients.

The check is needed because compilers can lose gradients silently. For a FA-Net with patches, torch 2.13 on a CPU
returns no gradients below the last upsampling, and training would continue with the rest.
"""

from __future__ import annotations

import torch
from torch import nn

from rawkd.errors import ModelError
from rawkd.training.data.dataset import Batch
from rawkd.training.run.learner import Learner
from rawkd.training.run.step import gradients_of

PERTURBATION, SEED = 0.1, 5
"""Size of the random change of the weights for the check, as a fraction of their rms (of 1 if they are all 0, because
zero weights hide the gradients of the layers below), and its seed."""
LARGEST_DIFFERENCE, LEAST_SHARE = 0.3, 1e-3
"""Largest relative difference of two gradients (bf16 causes about 0.1), and the smallest fraction of the total gradient
norm at which a gradient is compared."""


def compile_checked(learner: Learner, batch: Batch) -> None:
    """Compile the student in place and check its gradients for a batch.

    Raises
    ------
    ModelError: if torch cannot compile it here, or the compiled network has other gradients.
    DivergedError, MemoryLimitError: as `optimise`.
    """
    student = learner.student
    weights = {name: value.clone() for name, value in student.state_dict().items()}
    _perturb(student)
    plain = gradients_of(learner, batch)
    student.compile()
    try:
        compiled = gradients_of(learner, batch)
    except RuntimeError as error:
        if not _is_of_compiler(error):
            raise
        reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
        raise ModelError(f"torch cannot compile the network here ({reason}). Leave out --compile.") from error
    student.load_state_dict(weights)
    total = torch.stack([gradient.norm() for gradient in plain.values()]).norm()
    for name, gradient in plain.items():
        apart = (compiled[name] - gradient).norm() if name in compiled else gradient.norm()
        if gradient.norm() > LEAST_SHARE * total and not apart < LARGEST_DIFFERENCE * gradient.norm():
            raise ModelError(
                f"torch {torch.__version__} compiles the network wrongly on this machine (its gradient of {name} is "
                f"off by {apart / gradient.norm():.0%}). Leave out --compile."
            )


def _perturb(network: nn.Module) -> None:
    """Add reproducible random changes to all weights."""
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in network.parameters():
            strength = PERTURBATION * (parameter.square().mean().sqrt().item() or 1.0)
            moved = strength * torch.randn(parameter.shape, generator=generator)
            parameter.add_(moved.to(parameter.device))


def _is_of_compiler(error: RuntimeError) -> bool:
    """Return whether torch's compiler raised the error; the import of its exceptions takes a second, so it is here."""
    from torch._dynamo.exc import BackendCompilerFailed  # it has no public name

    return isinstance(error, BackendCompilerFailed)
