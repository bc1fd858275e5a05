"""A teacher: a frozen denoiser that is asked about a student's batches, whatever its own anchor and input are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rawkd.errors import ModelError, UsageError
from rawkd.inference.card import CHANNELS, PICTURES, ModelCard, NoiseSubrange
from rawkd.inference.selftest import check_golden
from rawkd.inference.torch_engine import TorchEngine
from rawkd.networks.blocks import with_variance
from rawkd.sensor.bayer import SYMMETRIES
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel, read_variance_prior
from rawkd.training.data.dataset import Batch
from rawkd.training.data.synthesize import SAME_NOISE, NoiseShare
from rawkd.training.losses.terms import to_signal
from rawkd.training.saved.trained import TrainedCard, load_trained
from rawkd.training.strategies.averaged_labels import ensemble_mean
from rawkd.training.strategies.taps import FeatureTaps


class Teacher:
    """A card's network, frozen and in evaluation mode, that takes and returns a student's anchored values.

    A "planes" teacher is asked at its own anchor: from the student's anchor, itself a noise, `KSigma` leads there and
    back exactly. A "planes+variance" teacher is given the signal and the variance that the photo's noise parameters
    tell. A teacher of pictures is given a student's pictures as they are.

    Attributes
    ----------
    card : of the model or run. network : its module, no parameter of which requires a gradient.
    """

    def __init__(self, card: TrainedCard, student_anchor: Anchor, device: torch.device, *, ensemble: int = 1) -> None:
        """Load the network, and prove a model's by its card's golden output.

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
        network: Any = load_trained(card)
        if network.in_channels != CHANNELS[card.input]:
            raise ModelError(
                f"the teacher {card.name} takes {card.input} by its card, but its network {card.network} takes "
                f"{network.in_channels} planes: correct one of them"
            )
        if isinstance(card, ModelCard):
            _prove(card, network)
        self.network: nn.Module = network.to(device, memory_format=torch.channels_last).requires_grad_(False)
        self._ksigma = _between(student_anchor, card)
        self._taps: FeatureTaps | None = None

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"the teacher {self.card.name}"

    def check_student(self, subrange: NoiseSubrange, crop_px: int, noise: NoiseShare = SAME_NOISE) -> None:
        """Refuse a student whose gains or crops are not the teacher's, where it is shown a share of their noise.

        Raises
        ------
        ModelError: naming the teacher.
        """
        own = self.card.subrange
        of_pictures = self.card.input in PICTURES
        share = math.sqrt(noise.read_variance) if of_pictures else noise.gain
        low, high = subrange.low * share, subrange.high * share
        if not own.covers(low, high):
            what = "sigma" if of_pictures else "the gains"
            raise ModelError(
                f"the teacher {self.card.name} knows {what} {own.low:.3g} to {own.high:.3g}, the student needs "
                f"{low:.3g} to {high:.3g}: choose another teacher, subrange or noise ratio"
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
        if self._taps is not None:
            self._taps.close()
        self._taps = FeatureTaps(self.network, names, owner=self.title)

    @property
    def taps(self) -> FeatureTaps:
        """The chosen layers; the network's own choice where none were chosen."""
        if self._taps is None:
            self._taps = FeatureTaps(self.network, (), owner=self.title)
        return self._taps

    def features(self, planes: Tensor, batch: Batch) -> list[Tensor]:
        """What the tapped layers say of anchored values, (n, 4, h, w) in the student's anchor; gradients pass to them.

        A "planes+variance" teacher is told the least noise that it knows, since it is to look at clean pictures.
        """
        least = self.card.subrange.low
        return self._hear(self._inputs(planes, batch, (least, read_variance_prior(least))))

    def features_of_noisy(self, batch: Batch) -> list[Tensor]:
        """What the tapped layers say of a batch's noisy crops, whose noise the teacher is told; no gradient."""
        with torch.no_grad():
            return self._hear(self._inputs(batch.noisy, batch))

    def _hear(self, inputs: Tensor) -> list[Tensor]:
        self._finite(self.network(inputs))
        return [features.float() for features in self.taps.take()]

    def _inputs(self, planes: Tensor, batch: Batch, noise: tuple[float, float] | None = None) -> Tensor:
        """What the network takes of anchored values, their gain and read variance by default as the batch was told."""
        if self.card.input == "planes+variance":
            told = noise or told_noise_of(batch, self.student_anchor)
            return with_variance(to_signal(planes, batch), *told)
        inputs: Tensor = self._ksigma.apply(planes)
        return inputs

    def _ask(self, planes: Tensor, batch: Batch) -> Tensor:
        answer = self.network(self._inputs(planes, batch)).float()
        if self.card.input != "planes+variance":
            restored: Tensor = self._ksigma.invert(answer)
            return restored
        anchored: Tensor = answer * batch.scale[:, :, None, None] + batch.offset[:, :, None, None]
        return anchored

    def _finite(self, answer: Tensor) -> Tensor:
        if not torch.isfinite(answer).all():
            raise ModelError(f"the teacher {self.card.name} returns values that are not finite: choose another teacher")
        return answer


def told_noise_of(batch: Batch, anchor: Anchor) -> tuple[Tensor, Tensor]:
    """Gain and read variance, (n, 4, 1, 1) each, that the crops' k-sigma transforms were made of: their inverse."""
    gain = anchor.gain / batch.scale
    read_variance = (batch.offset / anchor.gain + anchor.read_variance / anchor.gain**2) * gain**2
    return gain[:, :, None, None], read_variance.clamp(min=0)[:, :, None, None]


def refuse_other_input(card: TrainedCard, student_input: str) -> None:
    """Raise ModelError where a teacher and a student do not see the same kind of picture.

    Parameters
    ----------
    student_input : planes | grey | rgb. A variance map is made for the teachers of raw students.
    """
    if card.input.removesuffix("+variance") != student_input:
        raise ModelError(
            f"the teacher {card.name} takes {card.input} and the student {student_input}: choose another teacher"
        )


def _between(student_anchor: Anchor, card: TrainedCard) -> KSigma:
    """From the student's anchor to the teacher's; pictures stay as they are."""
    if card.input in PICTURES:
        channels = CHANNELS[card.input]
        return KSigma(np.ones(channels), np.zeros(channels))
    noise = NoiseModel(np.full(4, student_anchor.gain), np.full(4, student_anchor.read_variance), "given")
    return KSigma.between(noise, card.anchor)


def _prove(card: ModelCard, network: nn.Module) -> None:
    """Refuse a network that does not compute what its card's golden output says."""
    if card.input == "planes+variance":
        network = _WithVariance(network, card.golden.gain, card.golden.read_variance)
    check_golden(card, TorchEngine(network, "cpu"))


class _WithVariance(nn.Module):
    """A "planes+variance" network at one noise."""

    def __init__(self, network: nn.Module, gain: float, read_variance: float) -> None:
        super().__init__()
        self.network, self.gain, self.read_variance = network, gain, read_variance

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 4, h, w) signal -> the same."""
        answer: Tensor = self.network(with_variance(planes, self.gain, self.read_variance))
        return answer
