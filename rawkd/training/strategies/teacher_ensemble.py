"""Self-ensemble for a batch of crops: the tensor version of `inference.self_ensemble`."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rawkd.errors import UsageError
from rawkd.sensor.cfa import SYMMETRIES, Symmetry


def refuse_ensemble(members: int, cfa: str, owner: str) -> None:
    """Raise UsageError if there are no such symmetries, or if those of the sensor's mosaics are not averaged.

    Parameters
    ----------
    members : number of symmetries. cfa : bayer | xtrans | mono. owner : of the mosaics, in the message.
    """
    if members not in SYMMETRIES:
        sizes = ", ".join(map(str, SYMMETRIES))
        raise UsageError(f"an ensemble of {members} is not possible. Choose one of {sizes}.")
    if members > 1 and cfa == "xtrans":
        raise UsageError(f"{owner} is for X-Trans, whose symmetries are not averaged. Leave the ensemble at 1.")


def ensemble_mean(restore: Callable[[Tensor], Tensor], planes: Tensor, members: int, stride: int) -> Tensor:
    """Return the mean of `restore` over the first `members` symmetries of mosaics or pictures.

    A flipped mosaic gets one reflected row or column at the start, to be RGGB again, and more at the end, to be a
    multiple of the stride.

    Parameters
    ----------
    restore : (n, planes, h, w) -> the same shape; its input may be up to `stride` larger than `planes`.
    planes : (n, 4, h, w) mosaics, or (n, 1, h, w) or (n, 3, h, w) pictures, which need no padding. Mosaics of X-Trans,
        (n, 36, h, w), only with one member.
    members : a key of `SYMMETRIES`; the first is the identity, which needs no padding either. stride : h and w are
        multiples of it, packed pixels.
    """
    if members == 1:
        return restore(planes)
    if planes.shape[1] != 4:
        outputs = [_turned_back(restore(_turned(planes, symmetry)), symmetry) for symmetry in SYMMETRIES[members]]
        return torch.stack(outputs).mean(0)
    mosaics = F.pixel_shuffle(planes, 2)
    outputs = [_restored_view(restore, mosaics, symmetry, 2 * stride) for symmetry in SYMMETRIES[members]]
    return F.pixel_unshuffle(torch.stack(outputs).mean(0), 2)


def _restored_view(restore: Callable[[Tensor], Tensor], mosaics: Tensor, symmetry: Symmetry, pad_px: int) -> Tensor:
    """Return (n, 1, H, W) mosaics after one symmetry, `restore`, and the inverse symmetry."""
    view = _turned(mosaics, symmetry)
    top, left = int(symmetry.flip_rows), int(symmetry.flip_columns)
    height, width = view.shape[-2:]
    view = F.pad(view, (left, left * (pad_px - 1), top, top * (pad_px - 1)), mode="reflect")
    out = F.pixel_shuffle(restore(F.pixel_unshuffle(view, 2)), 2)
    return _turned_back(out[..., top : top + height, left : left + width], symmetry)


def _turned(pictures: Tensor, symmetry: Symmetry) -> Tensor:
    """Return the pictures transposed and then flipped."""
    return (pictures.transpose(-2, -1) if symmetry.transpose else pictures).flip(_flipped(symmetry))


def _turned_back(pictures: Tensor, symmetry: Symmetry) -> Tensor:
    """Return the pictures before `_turned`: its inverse."""
    out = pictures.flip(_flipped(symmetry))
    return out.transpose(-2, -1) if symmetry.transpose else out


def _flipped(symmetry: Symmetry) -> list[int]:
    """Return the axes that a symmetry flips."""
    return [axis for axis, flip in ((-2, symmetry.flip_rows), (-1, symmetry.flip_columns)) if flip]
