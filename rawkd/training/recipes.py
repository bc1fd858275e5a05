"""The recipes that ship: typed Python, one value a family."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from rawkd.errors import UsageError
from rawkd.networks.cycleisp import CycleISPConfig
from rawkd.networks.fanet import FANET_90K, FANET_239K, FANetConfig
from rawkd.networks.nafnet import NAFNetConfig
from rawkd.networks.unet import UPI_LITE, UPIUNetConfig
from rawkd.networks.wavelet_unet import WaveletUNetConfig
from rawkd.training.config import Recipe

FAST = FANetConfig(
    widths=(48, 64, 96, 128),
    encoder_blocks=(0, 1, 1, 1),
    decoder_blocks=(1, 1, 2),
    shrink=2,
    groups=0,
    group_width=16,
    patch=True,
)
"""The FA-Net that ships: patches, groups of 16 channels, skips of half width; inside both of the paper's budgets."""

TEACHER = NAFNetConfig(widths=(48, 96, 192, 384), encoder_blocks=(2, 2, 4, 8), decoder_blocks=(2, 2, 2))
"""The teacher: 9.6 million parameters, 86 GMAC a megapixel."""
BALANCED = NAFNetConfig(widths=(64, 96, 152, 192), encoder_blocks=(2, 2, 2, 2), decoder_blocks=(2, 2, 2), patch=True)
"""The balanced tier: 1.8 million parameters, 15.2 GMAC a megapixel."""


def _plain(config: Any) -> dict[str, Any]:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    values.pop("anchor", None)  # the recipe's subrange decides it
    return values


FANET_FAST = Recipe("fanet-fast", "fanet", _plain(FAST), crop_px=64, steps=30_000)
"""First stage of the shipped family: many small crops."""
TEACHER_NAFNET = Recipe(
    "teacher-nafnet", "nafnet", _plain(TEACHER), num_subranges=1, crop_px=128, steps=60_000, learning_rate=1e-3
)
"""One network for all gains, in units of noise."""

RECIPES = {
    recipe.name: recipe
    for recipe in (
        FANET_FAST,
        replace(
            FANET_FAST,
            name="fanet-fast-polish",
            crop_px=128,
            batch=8,
            learning_rate=5e-4,
            steps=5_000,
            losses={"log-error": 1.0},
            seed=2,
        ),
        replace(
            FANET_FAST,
            name="fanet-fast-tune",
            learning_rate=8e-4,
            steps=4_000,
            losses={"charbonnier": 0.5, "own-noise-charbonnier": 0.5},
            leaves=0.2,
            seed=3,
        ),
        replace(FANET_FAST, name="fanet-fast-one", num_subranges=1),
        replace(FANET_FAST, name="fanet-fast-leaves", leaves=1.0),
        replace(FANET_FAST, name="fanet-fast-eld", noise=replace(FANET_FAST.noise, model="eld")),
        replace(FANET_FAST, name="fanet-239k", config=_plain(FANET_239K), noise_units=False),
        replace(FANET_FAST, name="fanet-90k", config=_plain(FANET_90K), noise_units=False),
        replace(FANET_FAST, name="plain-unet", config=_plain(replace(FANET_239K, align_hidden=0)), noise_units=False),
        replace(FANET_FAST, name="fanet-noskip", config=_plain(replace(FANET_239K, shrink=0)), noise_units=False),
        replace(
            FANET_FAST,
            name="wavelet-unet",
            network="wavelet-unet",
            config=_plain(WaveletUNetConfig()),
            noise_units=False,
        ),
        TEACHER_NAFNET,
        replace(TEACHER_NAFNET, name="balanced-nafnet", config=_plain(BALANCED), crop_px=96),
        replace(FANET_FAST, name="teacher-upi-unet", network="upi-unet", config=_plain(UPIUNetConfig())),
        replace(FANET_FAST, name="upi-lite", network="upi-unet", config=_plain(UPI_LITE)),
        replace(
            FANET_FAST, name="cycleisp-lite", network="cycleisp", config=_plain(CycleISPConfig()), noise_units=False
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of that name.

    Raises
    ------
    UsageError: if there is none.
    """
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name!r}: choose one of {', '.join(RECIPES)}")
    return RECIPES[name]
