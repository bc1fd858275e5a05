"""A teacher: a frozen denoiser that runs on a student's batches, with conversion to its own anchor and input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.inference.card import PICTURES, ModelCard, NoiseSubrange, channels_of
from rawkd.inference.selftest import check_golden
from rawkd.inference.torch_engine import TorchEngine
from rawkd.networks.blocks import with_variance
from rawkd.sensor.ksigma import Anchor, KSigma
from rawkd.sensor.noise import NoiseModel, read_variance_prior
from rawkd.training.data.dataset import Batch
from rawkd.training.data.synthesize import SAME_NOISE, NoiseShare
from rawkd.training.losses.terms import to_signal
from rawkd.training.saved.trained import TrainedCard, load_trained
from rawkd.training.strategies.fit import refuse_other_noise
from rawkd.training.strategies.taps import FeatureTaps
from rawkd.training.strategies.teacher_ensemble import ensemble_mean, refuse_ensemble


class Teacher:
    """The network of a card, frozen and in evaluation mode; it takes and returns a student's anchored values.

    For a "planes" teacher, `KSigma` converts exactly from the student's anchor to the teacher's and back. A
    "planes+variance" teacher gets the signal and the variance according to the estimated noise parameters. A teacher
    for pictures gets the student's pictures unchanged.

    Attributes
    ----------
    card : of the model or run. network : its module; no parameter requires a gradient.
    """

    def __init__(self, card: TrainedCard, student_anchor: Anchor, device: torch.device, *, ensemble: int = 1) -> None:
        """Load the network; that of a model is checked against the golden output of its card.

        Parameters
        ----------
        student_anchor : of the batches. ensemble : number of symmetries to average: 1, 2, 4 or 8.

        Raises
        ------
        ModelError: if the weights are damaged, do not fit or compute wrongly, or the card states another input.
        UsageError: as `refuse_ensemble`.
        """
        self.card, self.ensemble = card, ensemble
        refuse_ensemble(ensemble, card.cfa, self.title)
        self.student_anchor = student_anchor
        network: Any = load_trained(card)
        if network.in_channels != channels_of(card.input, card.cfa):
            raise ModelError(
                f"the card of the teacher {card.name} states the input {card.input}, but its network {card.network} "
                f"takes {network.in_channels} planes. Correct the card."
            )
        if isinstance(card, ModelCard):
            _check_output(card, network)
        self.network: nn.Module = network.to(device, memory_format=torch.channels_last).requires_grad_(False)
        self._ksigma = _between(student_anchor, card)
        self._taps: FeatureTaps | None = None

    @property
    def title(self) -> str:
        """Name of the teacher in error messages."""
        return f"the teacher {self.card.name}"

    def check_student(self, subrange: NoiseSubrange, crop_px: int, noise: NoiseShare = SAME_NOISE) -> None:
        """Refuse a student whose gains or crop size the teacher cannot handle.

        Parameters
        ----------
        subrange, crop_px : of the student. noise : fraction of the student's noise that the teacher gets.

        Raises
        ------
        ModelError: with the name of the teacher.
        """
        refuse_other_noise(self.card, subrange.low, subrange.high, noise)
        if crop_px % self.card.stride:
            raise ModelError(
                f"the teacher {self.card.name} needs crops of a multiple of {self.card.stride} packed pixels, not "
                f"{crop_px}. Choose another recipe."
            )

    def restore(self, planes: Tensor, batch: Batch) -> Tensor:
        """Return the teacher's output for anchored values, float32, no gradient.

        Parameters
        ----------
        planes : (n, planes, h, w) in the student's anchor, like the output.

        Raises
        ------
        ModelError: if it is not finite.
        """
        with torch.no_grad():
            output = ensemble_mean(lambda view: self._restore(view, batch), planes, self.ensemble, self.card.stride)
        self._refuse_not_finite(output)
        return output

    def tap(self, names: tuple[str, ...]) -> None:
        """Set the layers whose outputs `features` returns, finest first; empty: the network's attribute `taps`.

        Raises
        ------
        ModelError: if a layer does not exist or returns no feature map (with its name).
        """
        if self._taps is not None:
            self._taps.close()
        self._taps = FeatureTaps(self.network, names, owner=self.title)

    @property
    def taps(self) -> FeatureTaps:
        """The recorder of the layers that `tap` set.

        Raises
        ------
        ValueError: before `tap`.
        """
        if self._taps is None:
            raise ValueError("call tap first")
        return self._taps

    def restore_and_features(self, planes: Tensor, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Return what `restore` returns and the tapped features, float32, of one forward pass; no gradient.

        With an ensemble the features are those of its last member.

        Raises
        ------
        ModelError: as `restore`. ValueError: before `tap`.
        """
        taps, output = self.taps, self.restore(planes, batch)
        return output, [features.float() for features in taps.take()]

    def features(self, planes: Tensor, batch: Batch) -> list[Tensor]:
        """Return the tapped features of `planes`, as for `restore`, float32, with gradients; no layer runs after them.

        A "planes+variance" teacher gets the variance of the lowest noise in its range, because `planes` are clean or
        restored.

        Raises
        ------
        ModelError: if they are not finite. ValueError: before `tap`.
        """
        least = self.card.subrange.low
        return self._tapped(self._inputs(planes, batch, (least, read_variance_prior(least))))

    def features_of_noisy(self, batch: Batch) -> list[Tensor]:
        """Return the tapped features of the noisy crops of a batch, with their estimated noise; no gradient.

        Raises
        ------
        ModelError, ValueError: as `features`.
        """
        with torch.no_grad():
            return self._tapped(self._inputs(batch.noisy, batch))

    def _tapped(self, inputs: Tensor) -> list[Tensor]:
        features = self.taps.run(inputs)
        self._refuse_not_finite(*features)
        return [tapped.float() for tapped in features]

    def _inputs(self, planes: Tensor, batch: Batch, noise: tuple[float, float] | None = None) -> Tensor:
        """Return the network's input for anchored values; `noise` is (gain, read variance), by default the estimate."""
        if self.card.input == "planes+variance":
            gain, read_variance = noise or estimated_noise_of(batch, self.student_anchor)
            return with_variance(to_signal(planes, batch), gain, read_variance)
        inputs: Tensor = self._ksigma.apply(planes)
        return inputs

    def _restore(self, planes: Tensor, batch: Batch) -> Tensor:
        output = self.network(self._inputs(planes, batch)).float()
        if self.card.input != "planes+variance":
            restored: Tensor = self._ksigma.invert(output)
            return restored
        anchored: Tensor = output * batch.scale[:, :, None, None] + batch.offset[:, :, None, None]
        return anchored

    def _refuse_not_finite(self, *outputs: Tensor) -> None:
        if not torch.stack([torch.isfinite(output).all() for output in outputs]).all():
            raise ModelError(f"{self.title} returns values that are not finite. Choose another.")


def estimated_noise_of(batch: Batch, anchor: Anchor) -> tuple[Tensor, Tensor]:
    """Return the crops' estimated gain and read variance, (n, planes, 1, 1) each, from their k-sigma transforms."""
    gain = anchor.gain / batch.scale
    read_variance = (batch.offset / anchor.gain + anchor.read_variance / anchor.gain**2) * gain**2
    return gain[:, :, None, None], read_variance.clamp(min=0)[:, :, None, None]


def _between(student_anchor: Anchor, card: TrainedCard) -> KSigma:
    """Return the transform from the student's anchor to the teacher's; the identity for pictures."""
    if card.input in PICTURES:
        return KSigma(np.ones(1), np.zeros(1))
    noise = NoiseModel(np.array([student_anchor.gain]), np.array([student_anchor.read_variance]), "given")
    return KSigma.between(noise, card.anchor)


def _check_output(card: ModelCard, network: nn.Module) -> None:
    """Raise ModelError if the network does not reproduce the golden output of its card."""
    if card.input == "planes+variance":
        network = _WithVariance(network, card.golden.gain, card.golden.read_variance)
    check_golden(card, TorchEngine(network, "cpu"))


class _WithVariance(nn.Module):
    """A "planes+variance" network with fixed noise parameters; it takes and returns (n, planes, h, w) signal."""

    def __init__(self, network: nn.Module, gain: float, read_variance: float) -> None:
        super().__init__()
        self.network, self.gain, self.read_variance = network, gain, read_variance

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised signal, (n, planes, h, w)."""
        output: Tensor = self.network(with_variance(planes, self.gain, self.read_variance))
        return output
