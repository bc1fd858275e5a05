"""Features of named layers: what they gave in a network's last forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError


class FeatureTaps:
    """Keeps the outputs of named layers of one of our networks, with their gradients.

    A student that is wrapped for several processes is tapped inside the wrapping.

    Attributes
    ----------
    names : of the layers. channels : of their feature maps.
    """

    def __init__(self, module: nn.Module, names: tuple[str, ...], *, owner: str = "the network") -> None:
        """Listen to layers from now on.

        Parameters
        ----------
        module : of `networks.NETWORKS`. names : of its layers; none means its own choice, `taps`.
        owner : what errors call it.

        Raises
        ------
        ModelError: if a layer does not exist or gives no feature map, by name.
        """
        network: Any = module
        self.names = names or tuple(network.taps)
        self._seen: dict[str, Tensor] = {}
        layers = dict(module.named_modules())
        for name in self.names:
            if name not in layers:
                raise ModelError(f"{owner} has no layer {name}: choose layers such as {', '.join(network.taps)}")
        self._handles = [module.register_forward_pre_hook(lambda _module, _inputs: self._seen.clear())]
        for name in dict.fromkeys(self.names):
            self._handles.append(layers[name].register_forward_hook(_keeper(self._seen, name)))
        self.channels = self._probe(network, owner)

    def _probe(self, network: Any, owner: str) -> tuple[int, ...]:
        """The channels of every layer, by asking the network about nothing."""
        size, device = 4 * network.stride, next(network.parameters()).device
        with torch.no_grad():
            network(torch.zeros(1, network.in_channels, size, size, device=device))
        for name in self.names:
            seen = self._seen.get(name)
            if not isinstance(seen, Tensor) or seen.ndim != 4:
                self.close()
                raise ModelError(f"the layer {name} of {owner} gives no feature map: choose another")
        return tuple(features.shape[1] for features in self.take())

    def take(self) -> list[Tensor]:
        """What the last forward pass left, (n, channels, h, w) each in order of names, once."""
        seen = [self._seen[name] for name in self.names]
        self._seen.clear()
        return seen

    def close(self) -> None:
        """Listen no longer."""
        for handle in self._handles:
            handle.remove()
        self._seen.clear()


def _keeper(seen: dict[str, Tensor], name: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[name] = output

    return keep
