"""Validation during training: held-out crops with the noise of the recipe, the same at every validation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rawkd.training.config import Recipe
from rawkd.training.data.batches import batches_of
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import squared_error

VALIDATION_SEED, VALIDATION_BATCHES = 77, 12


def validation_batches(pictures: CleanSet | None, recipe: Recipe, subrange: int) -> list[Batch]:
    """Return 12 batches of held-out crops, at any position.

    They are the same for every run with the same pictures, subrange, noise, and number and size of crops: a run with
    another `--batch` is validated on other crops.
    """
    batches = batches_of(pictures, recipe, subrange, seed=VALIDATION_SEED, length=VALIDATION_BATCHES, exact=True)
    return [batches[index] for index in range(len(batches))]


def validate(network: nn.Module, batches: list[Batch], device: torch.device) -> dict[str, float]:
    """Return the mean noise left in the crops relative to their rms noise, and the gain in PSNR, dB, in float32."""
    gains, errors = [], []
    with torch.no_grad():
        for batch in batches:
            moved = batch.to(device)
            after = _noise_db(network(moved.noisy), moved)
            errors.append(after)
            gains.append(after - _noise_db(moved.noisy, moved))
    return {"val_psnr_gain_db": float(torch.cat(gains).mean()), "val_noise_db": float(-torch.cat(errors).mean())}


def _noise_db(planes: Tensor, batch: Batch) -> Tensor:
    """Return the PSNR of every crop with its rms noise as the peak, dB."""
    return -10 * torch.log10(squared_error(planes, batch.clean, batch))
