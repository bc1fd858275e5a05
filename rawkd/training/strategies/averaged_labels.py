"""Self-ensemble of a batch of crops: what `inference.ensemble` does for a mosaic, on tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rawkd.sensor.bayer import SYMMETRIES, BayerSymmetry


def ensemble_mean(restore: Callable[[Tensor], Tensor], planes: Tensor, members: int, stride: int) -> Tensor:
    """The mean of `restore` over the first `members` exact symmetries of the crops' mosaics, or of pictures.

    A flipped mosaic is brought back to RGGB by one reflected row or column before it, and to the stride by more behind.

    Parameters
    ----------
    restore : (n, 4, h, w) -> the same shape; sees crops up to `stride` larger.
    planes : (n, 4, h, w), or (n, 1, h, w) and (n, 3, h, w) pictures, which are turned as they are.
    members : a key of `SYMMETRIES`. stride : packed pixels of which h and w are multiples.
    """
    if planes.shape[1] != 4:
        answers = [_turned_back(restore(_turned(planes, symmetry)), symmetry) for symmetry in SYMMETRIES[members]]
        return torch.stack(answers).mean(0)
    mosaics = F.pixel_shuffle(planes, 2)
    answers = [_restored_view(restore, mosaics, symmetry, 2 * stride) for symmetry in SYMMETRIES[members]]
    return F.pixel_unshuffle(torch.stack(answers).mean(0), 2)


def _restored_view(
    restore: Callable[[Tensor], Tensor], mosaics: Tensor, symmetry: BayerSymmetry, pad_px: int
) -> Tensor:
    """One symmetric view of (n, 1, H, W) mosaics, restored and turned back."""
    view = _turned(mosaics, symmetry)
    top, left = int(symmetry.flip_rows), int(symmetry.flip_columns)
    height, width = view.shape[-2:]
    view = F.pad(view, (left, left * (pad_px - 1), top, top * (pad_px - 1)), mode="reflect")
    out = F.pixel_shuffle(restore(F.pixel_unshuffle(view, 2)), 2)
    return _turned_back(out[..., top : top + height, left : left + width], symmetry)


def _turned(pictures: Tensor, symmetry: BayerSymmetry) -> Tensor:
    """Transposed, then flipped."""
    return (pictures.transpose(-2, -1) if symmetry.transpose else pictures).flip(_flipped(symmetry))


def _turned_back(pictures: Tensor, symmetry: BayerSymmetry) -> Tensor:
    """The inverse of `_turned`."""
    out = pictures.flip(_flipped(symmetry))
    return out.transpose(-2, -1) if symmetry.transpose else out


def _flipped(symmetry: BayerSymmetry) -> list[int]:
    """The axes that a symmetry flips."""
    return [axis for axis, flip in ((-2, symmetry.flip_rows), (-1, symmetry.flip_columns)) if flip]
