"""Train the layers of VGG16 that the loss `rgb-perceptual` looks at, on labels that need no people and no ImageNet.

    python benchmarks/train_vgg.py PICTURES --out vgg.pt [--width 16] [--steps 6000] [--batch 32] [--threads 1]

Each crop of 64 x 64 pixels of a training picture, at full to quarter size, is turned by 0 to 270 degrees and kept,
blurred, made noisy, or halved and enlarged. The network learns to say which of the four turns and which of the four
changes it was, by VGG16's layers up to relu4_3 of --width to 8 times --width channels (VGG16 has 64) with batch
normalisation, the mean over all pixels and a layer for each question. Prints how many of the crops of held-out pictures
it answers rightly; by chance a quarter. The normalisation is then folded into the convolutions, and vgg.pt is a state
dict as `rawkd train --vgg16 vgg.pt` reads it.

Turns: Gidaris et al., ICLR 2018. The changes, sizes and network are our choice. The weights do not ship.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from script_errors import without_traceback
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rawkd.photo import FloatArray
from rawkd.training.data.clean import CleanSet, find_pictures
from rawkd.training.losses.terms import VGG_DEVIATION, VGG_MEAN, vgg16_stages

CROP_PX, SIZES, CHANGES, TURNS = 64, (1, 2, 4), 4, 4
CHECKED = 512
"""Number of held-out crops."""
RATE = 1e-3
"""Highest learning rate of Adam, falling by half a cosine to nothing."""


class Pretext(nn.Module):
    """VGG16 up to relu4_3 with batch normalisation, and the answers to both questions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for layer in (layer for stage in vgg16_stages([width, 2 * width, 4 * width, 8 * width]) for layer in stage):
            self.layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                self.layers.append(nn.BatchNorm2d(layer.out_channels))
        self.answers = nn.Linear(8 * width, TURNS + CHANGES)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of turns and changes, (n, 4) each, of pictures in 0..1, (n, 3, 64, 64)."""
        mean, deviation = (torch.tensor(values)[:, None, None] for values in (VGG_MEAN, VGG_DEVIATION))
        scores: Tensor = self.answers(self.layers((pictures - mean) / deviation).mean((2, 3)))
        return scores[:, :TURNS], scores[:, TURNS:]

    def folded(self) -> dict[str, Tensor]:
        """Return the convolutions with their normalisation in evaluation mode, in the order of torchvision's vgg16."""
        state = {}
        for index, (layer, norm) in enumerate(pairwise(self.layers)):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                folded = fuse_conv_bn_eval(layer, norm)
                state |= {f"features.{index}.{name}": value for name, value in folded.state_dict().items()}
        return state


def crop_of(pictures: CleanSet, rng: np.random.Generator) -> FloatArray:
    """A random crop in 0..1, (3, 64, 64), each pixel the mean of 1, 4 or 16."""
    picture = pictures.draw(rng)
    size = int(rng.choice([size for size in SIZES if min(picture.shape[:2]) >= size * CROP_PX]))
    top, left = (int(rng.integers(0, length - size * CROP_PX + 1)) for length in picture.shape[:2])
    window = picture[top : top + size * CROP_PX, left : left + size * CROP_PX].astype(np.float32)
    means = window.reshape(CROP_PX, size, CROP_PX, size, 3).mean((1, 3)) / np.iinfo(picture.dtype).max
    return np.ascontiguousarray(means.transpose(2, 0, 1), np.float32)


def changed(crop: FloatArray, change: int, rng: np.random.Generator) -> FloatArray:
    """The crop as it is, blurred (sigma 0.6 to 1.5 pixels), noisy (0.01 to 0.08), or halved and enlarged again."""
    if change == 1:
        sigma = rng.uniform(0.6, 1.5)
        crop = gaussian_filter(crop, (0, sigma, sigma), mode="nearest")
    elif change == 2:
        crop = crop + rng.uniform(0.01, 0.08) * rng.standard_normal(crop.shape)
    elif change == 3:
        small = torch.from_numpy(crop)[None]
        small = F.interpolate(small, scale_factor=0.5, mode="area")
        crop = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)[0].numpy()
    return np.clip(crop, 0, 1).astype(np.float32)


def batch_of(pictures: CleanSet, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Crops, (n, 3, 64, 64), their turns and their changes, (n,)."""
    turns, changes = rng.integers(0, TURNS, count), rng.integers(0, CHANGES, count)
    crops = [
        np.rot90(changed(crop_of(pictures, rng), change, rng), turn, (1, 2))
        for turn, change in zip(turns, changes, strict=True)
    ]
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(turns), torch.from_numpy(changes)


def rightly_answered(network: Pretext, pictures: CleanSet) -> tuple[float, float]:
    """Shares of turns and changes that are answered rightly, of crops that are the same every time."""
    rng, right = np.random.default_rng(7), np.zeros(2)
    network.eval()
    with torch.no_grad():
        for _ in range(CHECKED // 32):
            crops, *truths = batch_of(pictures, 32, rng)
            scores = network(crops.contiguous(memory_format=torch.channels_last))
            right += [int((score.argmax(1) == truth).sum()) for score, truth in zip(scores, truths, strict=True)]
    network.train()
    turns, changes = right / CHECKED
    return float(turns), float(changes)


@without_traceback
def main() -> None:
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    training, held_out = find_pictures([options.pictures], CROP_PX, raw=False)
    network = Pretext(options.width).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    begun = time.monotonic()
    for step in range(1, options.steps + 1):
        crops, *truths = batch_of(training, options.batch, rng)
        with torch.autocast("cpu", torch.bfloat16):
            scores = network(crops.contiguous(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(score.float(), truth) for score, truth in zip(scores, truths, strict=True))
        assert isinstance(loss, Tensor)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 1000 == 0 or step == options.steps:
            turns, changes = rightly_answered(network, held_out)
            seconds = time.monotonic() - begun
            print(
                f"step {step}  loss {loss.item():.3f}  turns {turns:.3f}  changes {changes:.3f}  {seconds:.0f} s",
                flush=True,
            )
    torch.save(network.eval().folded(), options.out)


if __name__ == "__main__":
    main()
