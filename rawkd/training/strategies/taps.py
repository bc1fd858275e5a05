"""Record the outputs (features) of named layers of a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError


class _AllSeenError(Exception):
    """Every tapped layer has run, so the rest of the network is not needed."""


class FeatureTaps:
    """Records the outputs of named layers of one of our networks, with gradients.

    For a student that is wrapped for several processes, pass the network inside the wrapper.

    Attributes
    ----------
    names : of the layers. channels : number of channels of each.
    """

    def __init__(self, module: nn.Module, names: tuple[str, ...], *, owner: str = "the network") -> None:
        """Start recording.

        Parameters
        ----------
        module : a network of `networks.NETWORKS`. names : of its layers; empty: its attribute `taps`.
        owner : name of the network in error messages.

        Raises
        ------
        ModelError: if a layer does not exist or returns no feature map (with its name).
        """
        network: Any = module
        self.names = names or tuple(network.taps)
        self._network = network
        self._seen: dict[str, Tensor] = {}
        self._calls, self._left = 0, 0
        layers = dict(module.named_modules())
        for name in self.names:
            if name not in layers:
                raise ModelError(f"{owner} has no layer {name}. Choose layers such as {', '.join(network.taps)}.")
        self._handles = [module.register_forward_pre_hook(lambda _module, _inputs: self._seen.clear())]
        for name in dict.fromkeys(self.names):
            self._handles.append(layers[name].register_forward_hook(self._recorder(name)))
        self.channels = self._probe(network, owner)

    def _probe(self, network: Any, owner: str) -> tuple[int, ...]:
        """Return the number of channels of every layer, from a forward pass of zeros."""
        size, device = 4 * network.stride, next(network.parameters()).device
        self._left = -1  # counts down, so that it never meets 0
        with torch.no_grad():
            network(torch.zeros(1, network.in_channels, size, size, device=device))
        self._calls, self._left = -1 - self._left, 0
        for name in self.names:
            seen = self._seen.get(name)
            if not isinstance(seen, Tensor) or seen.ndim != 4:
                self.close()
                raise ModelError(f"the layer {name} of {owner} returns no feature map. Choose another.")
        return tuple(features.shape[1] for features in self.take())

    def run(self, inputs: Tensor) -> list[Tensor]:
        """Return the features of (n, c, h, w) inputs, as `take`; the network stops after the last of the layers.

        It stops once the layers have run as often as in a whole forward pass, so the last output of each counts.
        """
        self._left = self._calls
        try:
            self._network(inputs)
        except _AllSeenError:
            pass
        finally:
            self._left = 0
        return self.take()

    def take(self) -> list[Tensor]:
        """Return the features of the last forward pass, (n, channels, h, w) per layer, and forget them."""
        seen = [self._seen[name] for name in self.names]
        self._seen.clear()
        return seen

    def close(self) -> None:
        """Stop recording."""
        for handle in self._handles:
            handle.remove()
        self._seen.clear()

    def _recorder(self, name: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._seen[name] = output
            if self._left:
                self._left -= 1
                if not self._left:
                    raise _AllSeenError

        return record
