"""Network architectures, one a file, and the names by which cards and recipes know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rawkd.errors import ModelError
from rawkd.networks.cycleisp import CycleISP, CycleISPConfig
from rawkd.networks.fanet import FANet, FANetConfig
from rawkd.networks.mdrn import MDRN, MDRNConfig
from rawkd.networks.mlefgn import MLEFGN, MLEFGNConfig
from rawkd.networks.mwrcanet import MWRCANet, MWRCANetConfig
from rawkd.networks.mwresnet import MWResNet, MWResNetConfig
from rawkd.networks.nafnet import NAFNet, NAFNetConfig
from rawkd.networks.unet import UPIUNet, UPIUNetConfig
from rawkd.networks.wavelet_unet import WaveletUNet, WaveletUNetConfig

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """A network class and its configuration class."""

    network: type[nn.Module]
    config: type


NETWORKS = {
    "fanet": Architecture(FANet, FANetConfig),
    "wavelet-unet": Architecture(WaveletUNet, WaveletUNetConfig),
    "upi-unet": Architecture(UPIUNet, UPIUNetConfig),
    "cycleisp": Architecture(CycleISP, CycleISPConfig),
    "mwresnet": Architecture(MWResNet, MWResNetConfig),
    "mwrcanet": Architecture(MWRCANet, MWRCANetConfig),
    "mlefgn": Architecture(MLEFGN, MLEFGNConfig),
    "mdrn": Architecture(MDRN, MDRNConfig),
    "nafnet": Architecture(NAFNet, NAFNetConfig),
}
"""Every network states its `stride` (packed pixels), `in_channels` (4: planes, 8: planes and their variance) and `taps`
(the modules whose features a strategy looks at, finest first) and `decoder_taps` (the same of the way back, finest
last; those of `taps` that stand there too count as decoder)."""


def build_network(name: str, config: Mapping[str, Any]) -> nn.Module:
    """The network `name` with freshly drawn weights.

    Parameters
    ----------
    name : a key of `NETWORKS`. config : its configuration's fields, as a card's JSON has them.

    Raises
    ------
    ModelError: if the name or a field is unknown, missing or of another type.
    """
    architecture = NETWORKS.get(name)
    if architecture is None:
        raise ModelError(f"there is no network {name!r}: choose one of {', '.join(NETWORKS)}")
    known = {field.name for field in fields(architecture.config)}
    if unknown := sorted(set(config) - known):
        raise ModelError(f"the network {name} knows no {', '.join(unknown)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    try:
        return architecture.network(architecture.config(**values))
    except TypeError as error:
        raise ModelError(f"the network {name} cannot be made of this configuration: {error}") from error
