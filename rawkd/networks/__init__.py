"""Network architectures, one per file, and the names that cards and recipes use for them."""

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
"""Network and configuration class by name. Every network has these attributes:

stride : input height and width must be multiples of it, packed pixels.
in_channels : 4 (planes), 36 (planes of X-Trans) or 8 (planes and their variance); pictures have 1 or 3.
taps : names of the modules whose features a distillation strategy may use, finest first.
decoder_taps : the same for the decoder, finest last. A name in both tuples counts as decoder.
"""


def build_network(name: str, config: Mapping[str, Any]) -> nn.Module:
    """Return the network `name` with randomly initialised weights.

    Parameters
    ----------
    name : a key of `NETWORKS`. config : fields of its configuration, as in a card's JSON.

    Raises
    ------
    ModelError: if the name is unknown, or a field is unknown, missing or of the wrong type.
    """
    architecture = NETWORKS.get(name)
    if architecture is None:
        raise ModelError(f"there is no network {name!r}. Choose one of {', '.join(NETWORKS)}.")
    known = {field.name for field in fields(architecture.config)}
    if unknown := sorted(set(config) - known):
        raise ModelError(f"the network {name} has no configuration field {', '.join(unknown)}. Remove it.")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
    try:
        return architecture.network(architecture.config(**values))
    except TypeError as error:
        raise ModelError(f"the network {name} cannot be built from this configuration ({error}): correct it") from error
