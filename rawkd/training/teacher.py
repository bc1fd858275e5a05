"""A teacher: a frozen denoiser that is asked about a student's batches, whatever its own anchor and input are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rawkd.errors import ModelError, UsageError
from rawkd.inference.card import read_card
from rawkd.inference.card_file import CARD, ModelCard, NoiseSubrange
from rawkd.inference.selftest import check_golden
from rawkd.inference.torch_engine import TorchEngine, load_module
from rawkd.inference.weights import models_directory
from rawkd.networks.blocks import with_variance
from rawkd.sensor.bayer import SYMMETRIES
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel, read_variance_prior
from rawkd.training.dataset import Batch
from rawkd.training.ensemble import ensemble_mean
from rawkd.training.losses import to_signal

CHANNELS = {"planes": 4, "planes+variance": 8}
"""What a network takes by the input kind of its card."""


def find_teacher(name_or_folder: str) -> ModelCard:
    """The card of a shipped model by its name, or of a folder.

    Raises
    ------
    ModelError: if there is no card, or it is wrong: another input than planes R, Gr, Gb, B, with or without variance.
    """
    shipped = models_directory()
    for folder in (shipped / name_or_folder, Path(name_or_folder)):
        if (folder / CARD).exists():
            return read_card(folder)
    known = ", ".join(sorted(path.parent.name for path in shipped.glob(f"*/{CARD}"))) or "none"
    raise ModelError(f"{name_or_folder} is neither a model's folder nor a shipped model ({known}): name a teacher")


class Teacher:
    """A card's network, frozen and in evaluation mode, that takes and returns a student's anchored values.

    A "planes" teacher is asked at its own anchor: from the student's anchor, itself a noise, `KSigma` leads there and
    back exactly. A "planes+variance" teacher is given the signal and the variance that the photo's noise parameters
    tell.

    Attributes
    ----------
    card : of the model. network : its module, no parameter of which requires a gradient.
    """

    def __init__(self, card: ModelCard, student_anchor: Anchor, device: torch.device, *, ensemble: int = 1) -> None:
        """Load the network and prove it by its card's golden output.

        Parameters
        ----------
        student_anchor : of the batches. ensemble : symmetries whose mean is the answer: 1, 2, 4 or 8.

        Raises
        ------
        ModelError: if the weights are altered, do not fit, compute wrongly, or take another input than the card says.
        UsageError: for another ensemble.
        """
        if ensemble not in SYMMETRIES:
            raise UsageError(f"an ensemble of {ensemble}: choose one of {', '.join(map(str, SYMMETRIES))}")
        self.card, self.ensemble = card, ensemble
        self.student_anchor = student_anchor
        network: Any = load_module(card)
        if network.in_channels != CHANNELS[card.input]:
            raise ModelError(
                f"the teacher {card.name} takes {card.input} by its card, but its network {card.network} takes "
                f"{network.in_channels} planes: correct one of them"
            )
        _prove(card, network)
        self.network: nn.Module = network.to(device, memory_format=torch.channels_last).requires_grad_(False)
        self._ksigma = KSigma.between(_noise(student_anchor), card.anchor)
        self._tapped: dict[str, Tensor] = {}
        self._taps: tuple[str, ...] = ()

    def check_student(self, subrange: NoiseSubrange, crop_px: int) -> None:
        """Refuse a student whose gains or crops are not the teacher's.

        Raises
        ------
        ModelError: naming the teacher.
        """
        own, slack = self.card.subrange, 1 + 1e-9
        if not (own.low <= subrange.low * slack and subrange.high <= own.high * slack):
            raise ModelError(
                f"the teacher {self.card.name} knows the gains {own.low:.3g} to {own.high:.3g}, the student needs "
                f"{subrange.low:.3g} to {subrange.high:.3g}: choose another teacher or subrange"
            )
        if crop_px % self.card.stride:
            raise ModelError(
                f"the teacher {self.card.name} takes multiples of {self.card.stride} packed pixels, and the crops are "
                f"{crop_px}: choose another recipe"
            )

    def restore(self, planes: Tensor, batch: Batch) -> Tensor:
        """The teacher's answer to anchored values, (n, 4, h, w) in the student's anchor, float32; no gradient.

        Raises
        ------
        ModelError: if it is not finite.
        """
        with torch.no_grad():
            answer = ensemble_mean(lambda view: self._ask(view, batch), planes, self.ensemble, self.card.stride)
        return self._finite(answer)

    def tap(self, names: tuple[str, ...]) -> None:
        """Choose the layers, finest first, whose outputs `features` returns; none means the network's own choice.

        Raises
        ------
        ModelError: if a layer does not exist or gives no feature map, by name.
        """
        self._taps = names or tuple(self.network.taps)  # type: ignore[arg-type]
        modules = dict(self.network.named_modules())
        for name in self._taps:
            if name not in modules:
                known = ", ".join(self.network.taps)  # type: ignore[arg-type]
                raise ModelError(f"the teacher {self.card.name} has no layer {name}: choose layers such as {known}")
            modules[name].register_forward_hook(self._keeper(name))
        size = 4 * self.card.stride
        device = next(self.network.parameters()).device
        with torch.no_grad():
            self.network(torch.zeros(1, CHANNELS[self.card.input], size, size, device=device))
        for name in self._taps:
            seen = self._tapped.get(name)
            if not isinstance(seen, Tensor) or seen.ndim != 4:
                raise ModelError(
                    f"the layer {name} of the teacher {self.card.name} gives no feature map: choose another"
                )
        self._tapped.clear()

    def features(self, planes: Tensor, batch: Batch) -> list[Tensor]:
        """What the tapped layers say of anchored values, (n, 4, h, w) in the student's anchor; gradients pass to them.

        A "planes+variance" teacher is told the least noise that it knows, since it is to look at clean pictures.
        """
        if self.card.input == "planes":
            inputs = self._ksigma.apply(planes)
        else:
            least = self.card.subrange.low
            inputs = with_variance(to_signal(planes, batch), least, read_variance_prior(least))
        self._finite(self.network(inputs))
        seen = [self._tapped[name].float() for name in self._taps]
        self._tapped.clear()
        return seen

    def _ask(self, planes: Tensor, batch: Batch) -> Tensor:
        if self.card.input == "planes":
            restored: Tensor = self._ksigma.invert(self.network(self._ksigma.apply(planes)).float())
            return restored
        gain, read_variance = told_noise_of(batch, self.student_anchor)
        signal = self.network(with_variance(to_signal(planes, batch), gain, read_variance)).float()
        anchored: Tensor = signal * batch.scale[:, :, None, None] + batch.offset[:, :, None, None]
        return anchored

    def _finite(self, answer: Tensor) -> Tensor:
        if not torch.isfinite(answer).all():
            raise ModelError(f"the teacher {self.card.name} returns values that are not finite: choose another teacher")
        return answer

    def _keeper(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._tapped[name] = output

        return keep


def told_noise_of(batch: Batch, anchor: Anchor) -> tuple[Tensor, Tensor]:
    """Gain and read variance, (n, 4, 1, 1) each, that the crops' k-sigma transforms were made of: their inverse."""
    gain = anchor.gain / batch.scale
    read_variance = (batch.offset / anchor.gain + anchor.read_variance / anchor.gain**2) * gain**2
    return gain[:, :, None, None], read_variance.clamp(min=0)[:, :, None, None]


def _noise(anchor: Anchor) -> NoiseModel:
    return NoiseModel(np.full(4, anchor.gain), np.full(4, anchor.read_variance), "given")


def _prove(card: ModelCard, network: nn.Module) -> None:
    """Refuse a network that does not compute what its card's golden output says."""
    asked = network if card.input == "planes" else _WithVariance(network, card.golden.gain, card.golden.read_variance)
    check_golden(card, TorchEngine(asked, "cpu"))


class _WithVariance(nn.Module):
    """A "planes+variance" network at one noise."""

    def __init__(self, network: nn.Module, gain: float, read_variance: float) -> None:
        super().__init__()
        self.network, self.gain, self.read_variance = network, gain, read_variance

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 4, h, w) signal -> the same."""
        answer: Tensor = self.network(with_variance(planes, self.gain, self.read_variance))
        return answer
