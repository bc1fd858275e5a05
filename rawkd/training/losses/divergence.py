"""What two pictures show where, as probabilities: the Kullback-Leibler divergence of their luminance.

Source: SLKD (arXiv 2501.09268) names such a term and no more; the rest is our choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from rawkd.render.color import LUMA
from rawkd.training.data.dataset import Batch
from rawkd.training.losses.terms import developed

POOLED_PX = 64
"""Edge of the luminance whose values are compared."""
LEAST_DIVERGENCE = 1e-8
"""The noise counts for no less: a deviation of luminance of 1.4e-4, a thirtieth of an 8-bit step."""
SMOOTH = 2.0**-10
"""Root of the divergence below which the loss is smooth."""


def divergence_of_noise(restored: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Root of KL(target || restored) over KL(target || noisy), mean over crops; 1 on the noisy crops.

    So it falls with the error like the other losses, and dark and bright crops count alike.

    Parameters
    ----------
    restored, target : (n, c, h, w) anchored values.
    """
    with torch.autocast(restored.device.type, enabled=False):  # gamma and exponentials need more than bf16
        seen, wanted, noisy = (luminance(planes, batch) for planes in (restored, target, batch.noisy))
        ratio = divergence(wanted, seen) / divergence(wanted, noisy).clamp(min=LEAST_DIVERGENCE)
        return (torch.sqrt(ratio + SMOOTH**2) - SMOOTH).mean()


def luminance(planes: Tensor, batch: Batch) -> Tensor:
    """Anchored values -> (n, places) luma of the developed crops, 0..1, pooled to 64 x 64 places or to their size."""
    rgb = developed(planes, batch)
    luma = torch.tensordot(rgb, rgb.new_tensor(LUMA), ([1], [0]))
    height, width = (min(POOLED_PX, side) for side in luma.shape[1:])
    return F.adaptive_avg_pool2d(luma, (height, width)).flatten(1)


def divergence(target: Tensor, seen: Tensor) -> Tensor:
    """KL(softmax(target) || softmax(seen)) over the last axis, (n,).

    With p = softmax(target) and d = seen - target - E_p[seen - target] it is log E_p[exp(d)], which in this form loses
    no digits to small differences.
    """
    probability = target.softmax(-1)
    difference = seen - target
    centred = difference - (probability * difference).sum(-1, keepdim=True)
    return torch.log1p((probability * (torch.expm1(centred) - centred)).sum(-1)).clamp(min=0)
