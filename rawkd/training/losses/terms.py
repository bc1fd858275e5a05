"""Training losses by name. Every loss takes (restored, clean, batch) in anchored values and returns a scalar.

Sources: Charbonnier, Feature-Align paper eq. 3 (c = 1e-6); perceptual loss, Johnson et al., ECCV 2016, on pictures from
the minimalist ISP as in the Feature-Align paper, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError, UsageError
from rawkd.networks.blocks import half_cells
from rawkd.photo import CFAPattern
from rawkd.render.color import color_correct, gamma
from rawkd.render.isp import process
from rawkd.training.data.dataset import Batch

CHARBONNIER_C, SOFT_C = 1e-6, 0.5
"""Errors well below c count by their square, others by their size. With c = 1e-6 all count by their size, so networks
learn medians: of a faint star that half of all noise would hide, that is the sky. Soft losses keep more of it
(docs/training-log.md). The second is our choice, in units of the noise."""
LEAST_SHARE = 1e-3
"""Lower limit of a sample's noise variance, as a fraction of the crop's mean noise variance."""
LEAST_ERROR = 1e-4
"""Squared error in units of the noise variance (-40 dB), below which the loss of a crop hardly falls."""
SMOOTH = 2.0**-10
"""Root below which `smooth_root` is rounded off, like Charbonnier below c."""
CONTENT_LAYER, STYLE_LAYERS, STYLE_WEIGHT = 2, (0, 1, 2, 3), 5.0
"""Layers of the perceptual loss among VGG16's relu1_2, relu2_2, relu3_3, relu4_3: content from the third, style from
all (defaults of Johnson's released code)."""

VGG_LAYERS = (2, 2, 3, 3)
"""Convolutions of VGG16's first four stages."""
VGG_MEAN, VGG_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of ImageNet's colours, which VGG16 expects to be removed."""


class Loss(Protocol):
    """A loss function: (restored, clean, batch) -> scalar."""

    def __call__(self, restored: Tensor, clean: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the anchored values `restored`, (n, c, h, w)."""
        ...


def charbonnier(restored: Tensor, clean: Tensor, batch: Batch, c: float = CHARBONNIER_C) -> Tensor:
    """Return the mean of sqrt(d^2 + c^2), with the error d in units of the crop's rms noise.

    The unit gives dark and bright crops equal weight (our choice).
    """
    return _mean_size((restored - clean) / batch.sigma[:, None, None, None], c)


def own_noise_charbonnier(restored: Tensor, clean: Tensor, batch: Batch, c: float = CHARBONNIER_C) -> Tensor:
    """Return the Charbonnier loss in units of each sample's own noise, so dark parts of a bright crop count fully.

    Our choice. The anchor's variance is k (y + v/k), so a sample has (y + v/k) / mean(y + v/k) times the mean variance.
    """
    distance = clean + batch.black[:, None, None, None]
    share = (distance / distance.mean((1, 2, 3), keepdim=True)).clamp(min=LEAST_SHARE)
    return _mean_size((restored - clean) / (batch.sigma[:, None, None, None] * share.sqrt()), c)


def _mean_size(difference: Tensor, c: float) -> Tensor:
    return torch.sqrt(difference * difference + c**2).mean()


def absolute_error(restored: Tensor, target: Tensor, batch: Batch) -> Tensor:
    """Return the mean of |restored - target| of (n, c, h, w) anchored values, in units of each crop's rms noise."""
    return ((restored - target).abs() / batch.sigma[:, None, None, None]).mean()


def squared_error(restored: Tensor, clean: Tensor, batch: Batch) -> Tensor:
    """Return each crop's mean squared error, (n,), in units of its mean noise variance."""
    return (restored - clean).square().mean((1, 2, 3)) / batch.sigma.square()


def smooth_root(ratio: Tensor) -> Tensor:
    """Return sqrt(ratio + s^2) - s with s = `SMOOTH`: about the root, but with a finite slope at 0."""
    return torch.sqrt(ratio + SMOOTH**2) - SMOOTH


def log_error(restored: Tensor, clean: Tensor, batch: Batch) -> Tensor:
    """Return half the mean log of the crops' mean squared errors in units of their noise.

    Minimising it maximises the average PSNR, in which smooth and textured pictures have equal weight. It favours means,
    where an absolute error favours medians. Our choice for the last training stage.
    """
    return 0.5 * torch.log(squared_error(restored, clean, batch) + LEAST_ERROR).mean()


class RgbPerceptual(nn.Module):
    """Perceptual loss: content and style of VGG16 features of both pictures after the minimalist ISP.

    Parameters
    ----------
    weights : file with torchvision's VGG16 state dict, or one of the same layers with fewer channels
        (benchmarks/train_vgg.py). The user provides it, because the licence of the former forbids shipping it. None:
        random weights, for tests.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        self.stages = vgg16_stages() if weights is None else _read_stages(weights)
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(VGG_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(VGG_DEVIATION)[:, None, None])

    def forward(self, restored: Tensor, clean: Tensor, batch: Batch) -> Tensor:
        """Return the loss of the anchored values `restored`, (n, c, h, w)."""
        with torch.autocast(restored.device.type, enabled=False):  # gamma and Gram matrices need more than bf16
            seen = [developed(planes.float(), batch) for planes in (restored, clean)]
            features = [self._features((picture - self.mean) / self.deviation) for picture in seen]
            return content_and_style(*features)

    def _features(self, picture: Tensor) -> list[Tensor]:
        features = []
        for stage in self.stages:
            picture = stage(picture)
            features.append(picture)
        return features


def content_and_style(restored: list[Tensor], clean: list[Tensor]) -> Tensor:
    """Return the loss of Johnson et al. on four scales of features: content of the third + 5 times style of all."""
    content = F.mse_loss(restored[CONTENT_LAYER], clean[CONTENT_LAYER])
    style = sum((gram(restored[index]) - gram(clean[index])).square().sum((1, 2)).mean() for index in STYLE_LAYERS)
    return content + STYLE_WEIGHT * style


def gram(features: Tensor) -> Tensor:
    """Return the Gram matrices of (n, c, h, w) features divided by c h w, (n, c, c)."""
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


def to_signal(planes: Tensor, batch: Batch) -> Tensor:
    """Return anchored values of a batch as signal (`KSigma.invert` with the scale and offset of each crop)."""
    return (planes - batch.offset[:, :, None, None]) / batch.scale[:, :, None, None]


def developed(planes: Tensor, batch: Batch) -> Tensor:
    """Return anchored values of a batch as pictures: mosaics pass the minimalist ISP, pictures stay.

    X-Trans is not demosaiced: a pixel is the mean of each colour in half a cell, 3x3 pixels. Monochrome mosaics become
    grey pictures.

    Parameters
    ----------
    planes : (n, c, h, w).

    Returns
    -------
    (n, 3, 2h, 2w) of mosaics, (n, 3, h, w) of pictures.
    """
    signal = to_signal(planes, batch)
    if batch.cfa == "mono":
        grey: Tensor = gamma(F.pixel_shuffle(signal, 2))
        return grey.expand(-1, 3, -1, -1)
    if signal.shape[1] == 4:
        rendered: Tensor = process(signal, batch.metadata)
        return rendered
    if signal.shape[1] != CFAPattern.XTRANS.side**2:
        return signal.expand(-1, 3, -1, -1)
    halves = half_cells(signal)
    camera = torch.stack([halves[:, part].mean(1) for part in (slice(5, 7), slice(5), slice(7, 9))], 1)
    balanced = (camera * batch.white_balance[:, :, None, None]).clip(0, 1)
    picture: Tensor = gamma(color_correct(balanced, batch.rgb_from_camera))
    return picture


def vgg16_stages(widths: Sequence[int] = (64, 128, 256, 512)) -> nn.ModuleList:
    """Return VGG16 up to relu4_3 in four stages of so many channels."""
    stages, channels = nn.ModuleList(), 3
    for index, (width, count) in enumerate(zip(widths, VGG_LAYERS, strict=True)):
        layers: list[nn.Module] = [nn.MaxPool2d(2)] if index else []
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        stages.append(nn.Sequential(*layers))
    return stages


def _read_stages(path: Path) -> nn.ModuleList:
    """Return the stages of a state dict, as wide as its kernels.

    Raises
    ------
    ModelError: if it cannot be read, or its convolutions are not those of VGG16.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        kernels = [key for key in state if key.startswith("features.") and key.endswith(".weight")]
        names = [key.removesuffix(".weight") for key in kernels]
        lasts = [state[f"{names[index - 1]}.weight"] for index in accumulate(VGG_LAYERS)]
        stages = vgg16_stages([len(kernel) for kernel in lasts])
        convolutions = [module for module in stages.modules() if isinstance(module, nn.Conv2d)]
        for convolution, name in zip(convolutions, names[: len(convolutions)], strict=True):
            convolution.load_state_dict({"weight": state[f"{name}.weight"], "bias": state[f"{name}.bias"]})
    except Exception as error:  # unpickling and other networks' weights raise many types
        raise ModelError(f"{path}: not VGG16 weights. Give the state dict of torchvision's vgg16.") from error
    return stages


LOSSES: dict[str, Callable[[Path | None], Loss]] = {
    "charbonnier": lambda _weights: charbonnier,
    "own-noise-charbonnier": lambda _weights: own_noise_charbonnier,
    "soft-charbonnier": lambda _weights: partial(charbonnier, c=SOFT_C),
    "own-noise-soft-charbonnier": lambda _weights: partial(own_noise_charbonnier, c=SOFT_C),
    "log-error": lambda _weights: log_error,
    "rgb-perceptual": RgbPerceptual,
}


def build_losses(
    weights: Mapping[str, float], vgg16: Path | None, device: torch.device
) -> dict[str, tuple[float, Loss]]:
    """Return the losses of a recipe: name -> (weight, loss).

    Raises
    ------
    UsageError: for an unknown name, or the perceptual loss without VGG16 weights.
    """
    built: dict[str, tuple[float, Loss]] = {}
    for name, weight in weights.items():
        if name not in LOSSES:
            raise UsageError(f"there is no loss {name!r}. Choose from {', '.join(LOSSES)}.")
        if name == "rgb-perceptual" and vgg16 is None:
            raise UsageError("the loss rgb-perceptual needs VGG16 weights. Give torchvision's state dict with --vgg16.")
        loss = LOSSES[name](vgg16)
        built[name] = weight, loss.to(device) if isinstance(loss, nn.Module) else loss
    return built
