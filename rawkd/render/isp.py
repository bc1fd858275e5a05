"""Minimal ISP for losses and metrics: white balance, bilinear demosaic, camera to sRGB, gamma.

Source: unprocessing's `process` (Brooks et al., CVPR 2019; code Apache-2.0), the inverse of
`rawkd.training.data.unprocess`.
"""

from __future__ import annotations

from typing import Any

from rawkd.render.color import ProcessMetadata, array_module, color_correct, gamma, white_balance
from rawkd.render.demosaic import bilinear_sites, interleave, pad_edge


def process(planes: Any, metadata: ProcessMetadata) -> Any:
    """Render in metrics mode: white balance, clip, bilinear demosaic, colour, clip, gamma 2.2.

    Parameters
    ----------
    planes : (..., 4, h, w) signal R, Gr, Gb, B; numpy or torch, differentiable.

    Returns
    -------
    (..., 3, 2h, 2w) gamma-encoded sRGB, 0..1, in the precision of the planes.
    """
    balanced = array_module(planes).clip(white_balance(planes, metadata.gains), 0.0, 1.0)
    return gamma(color_correct(interleave(bilinear_sites(pad_edge(balanced))), metadata.rgb_from_camera))
