"""Kullback-Leibler divergence of two pictures, with the softmax of their luminance as probabilities of positions.

Source: SLKD (arXiv 2501.09268) mentions such a term without details; the rest is our choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rawkd.render.color import LUMA
from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import developed, smooth_root

POOLED_PX = 64
"""Side of the pooled luminance that is compared."""
LEAST_DIVERGENCE = 1e-8
"""Lower limit of the divergence of the noise. It corresponds to a standard deviation of luminance of 1.4e-4, a
thirtieth of an 8-bit step."""


def divergence_of_noise(restored: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Return the square root of KL(target || restored) / KL(target || noisy), mean over crops; 1 for noisy crops.

    It falls linearly with the error, like the other losses, and weighs dark and bright crops equally.

    Parameters
    ----------
    restored, target : (n, c, h, w) anchored values.
    """
    with torch.autocast(restored.device.type, enabled=False):  # gamma and exponentials need more than bf16
        seen, wanted, noisy = (luminance(planes, batch) for planes in (restored, target, batch.noisy))
        ratio = divergence(wanted, seen) / divergence(wanted, noisy).clamp(min=LEAST_DIVERGENCE)
        return smooth_root(ratio).mean()


def luminance(planes: Tensor, batch: Batch) -> Tensor:
    """Return the luma of developed crops, (n, positions), 0..1, pooled to at most 64 x 64 positions.

    Parameters
    ----------
    planes : (n, c, h, w) anchored values.
    """
    rgb = developed(planes, batch)
    luma = torch.tensordot(rgb, rgb.new_tensor(LUMA), ([1], [0]))
    height, width = (min(POOLED_PX, side) for side in luma.shape[1:])
    return F.adaptive_avg_pool2d(luma, (height, width)).flatten(1)


def divergence(target: Tensor, seen: Tensor) -> Tensor:
    """Return KL(softmax(target) || softmax(seen)) over the last axis, (n,).

    With p = softmax(target) and d = seen - target - E_p[seen - target] it equals log E_p[exp(d)]. This form is accurate
    for small differences.
    """
    probability = target.softmax(-1)
    difference = seen - target
    centred = difference - (probability * difference).sum(-1, keepdim=True)
    return torch.log1p((probability * (torch.expm1(centred) - centred)).sum(-1)).clamp(min=0)
