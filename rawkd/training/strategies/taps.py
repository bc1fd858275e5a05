"""Record the outputs (features) of named layers in the last forward pass of a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError


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
        self._seen: dict[str, Tensor] = {}
        layers = dict(module.named_modules())
        for name in self.names:
            if name not in layers:
                raise ModelError(f"{owner} has no layer {name}. Choose layers such as {', '.join(network.taps)}.")
        self._handles = [module.register_forward_pre_hook(lambda _module, _inputs: self._seen.clear())]
        for name in dict.fromkeys(self.names):
            self._handles.append(layers[name].register_forward_hook(_recorder(self._seen, name)))
        self.channels = self._probe(network, owner)

    def _probe(self, network: Any, owner: str) -> tuple[int, ...]:
        """Return the number of channels of every layer, from a forward pass of zeros."""
        size, device = 4 * network.stride, next(network.parameters()).device
        with torch.no_grad():
            network(torch.zeros(1, network.in_channels, size, size, device=device))
        for name in self.names:
            seen = self._seen.get(name)
            if not isinstance(seen, Tensor) or seen.ndim != 4:
                self.close()
                raise ModelError(f"the layer {name} of {owner} returns no feature map. Choose another.")
        return tuple(features.shape[1] for features in self.take())

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


def _recorder(seen: dict[str, Tensor], name: str) -> Any:
    def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[name] = output

    return record
