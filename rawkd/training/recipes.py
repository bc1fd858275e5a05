"""The recipes that ship with rawkd, one per family."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from rawkd.networks.cycleisp import CycleISPConfig
from rawkd.networks.fanet import FANET_90K, FANET_239K, FANetConfig
from rawkd.networks.mdrn import MDRNConfig
from rawkd.networks.mlefgn import MLEFGNConfig
from rawkd.networks.mwrcanet import MWRCANetConfig
from rawkd.networks.mwresnet import MWResNetConfig
from rawkd.networks.nafnet import NAFNetConfig
from rawkd.networks.unet import UPI_LITE, UPIUNetConfig
from rawkd.networks.wavelet_unet import WaveletUNetConfig
from rawkd.training.cfa_recipes import recipes_of_other_sensors
from rawkd.training.config import Recipe
from rawkd.training.noise_recipe import NoiseRecipe
from rawkd.training.picture_recipes import MDRN_COLOUR, PICTURE_RECIPES

FAST = FANetConfig(
    widths=(40, 56, 64, 88),
    encoder_blocks=(0, 1, 1, 1),
    decoder_blocks=(1, 1, 2),
    shrink=2,
    patch=True,
    guide_limit=12.0,
    block="gated",
    mean_window=9,
    mean_groups=(0, 1, 1, 2),
)
"""The shipped FA-Net: patches, gated blocks, skips of half width. It keeps both budgets of the paper. Its local means
span 36 pixels and both greens: flat fields keep less noise than with 20 pixels of one plane, and no lattice of Gr - Gb
(docs/training-log.md)."""

TEACHER = NAFNetConfig(widths=(48, 96, 192, 384), encoder_blocks=(2, 2, 4, 8), decoder_blocks=(2, 2, 2))
"""The teacher: 9.6 million parameters, 86 GMAC per megapixel."""
BALANCED = replace(FAST, widths=(64, 96, 144, 224), encoder_blocks=(1, 2, 3, 4), decoder_blocks=(2, 2, 3))
"""The balanced tier: 2.5 million parameters, 14.4 GMAC per megapixel. It has six times the multiply-accumulates of
`FAST`, but takes only a little over twice the time on a CPU."""
LARGE = replace(BALANCED, widths=(96, 144, 224, 352), encoder_blocks=(1, 2, 4, 8), decoder_blocks=(2, 2, 4))
"""A teacher that can be initialised from `BALANCED` (`run.grow`): 9.6 million parameters, 37 GMAC per megapixel."""
DENSE = replace(
    FAST, widths=(48, 64, 96, 144), encoder_blocks=(1, 1, 2, 3), decoder_blocks=(1, 1, 2), block="dense-gated"
)
"""Full 3x3 convolutions, which suit a CPU's matrix unit: 2.2 million parameters, 12.9 GMAC per megapixel."""
DENSE_LARGE = replace(DENSE, widths=BALANCED.widths, encoder_blocks=(1, 2, 3, 4), decoder_blocks=(2, 2, 3))
"""7.3 million parameters, 40 GMAC per megapixel."""

SMALL_MWRCANET = MWRCANetConfig(widths=(24, 32, 48), blocks=(1, 2, 4))
"""22 GMAC per megapixel: small enough to run all four steps (`distill.four_steps`) on a CPU."""
SMALL_MWRESNET = MWResNetConfig(widths=(24, 32, 48), blocks=2)
"""23 GMAC per megapixel."""


YOUNGER: dict[str, Any] = {"planes": 4, "halves": False, "mean_window": 5, "mean_groups": []}
"""Fields of FA-Net's configuration that recipes leave out at these values."""


def _plain(config: Any) -> dict[str, Any]:
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}
    values.pop("anchor", None)  # it depends on the subrange
    for field, default in YOUNGER.items():  # runs that were begun without them can be resumed
        if values.get(field) == default:
            del values[field]
    return values


FANET_FAST = Recipe(
    "fanet-fast",
    "fanet",
    _plain(FAST),
    overlap_below=1.0,
    batch=8,
    crop_px=64,
    tries=4,
    steps=16_000,
    kernel_rate=6e-3,
    losses={"charbonnier": 0.5, "own-noise-charbonnier": 0.5},
    leaves=0.2,
    skies=0.08,
    lamps=0.05,
    noise=NoiseRecipe(wrong_samples=0.4, hottest=500.0, smoothed=0.08),
)
"""The shipped family. It trains on many small crops, half of them with the noise of the next lower subrange, which
improves detail; also on stars, lamps, hot and dead pixels, and smoothed noise."""
BALANCED_DENSE = replace(
    FANET_FAST,
    name="balanced-dense",
    config=_plain(DENSE),
    num_subranges=1,
    overlap_below=None,
    batch=16,
    steps=40_000,
    kernel_rate=5e-3,
    decay=0.3,
)
"""One network for all gains."""
BEST_DENSE = replace(BALANCED_DENSE, name="best-dense", config=_plain(DENSE_LARGE), kernel_rate=4e-3, decay=0.05)
"""Its learning rate stays high almost to the end. `best-dense-96` and `best-dense-128` continue with larger crops and
lower it."""
TEACHER_NAFNET = Recipe(
    "teacher-nafnet", "nafnet", _plain(TEACHER), num_subranges=1, crop_px=128, steps=60_000, kernel_rate=5e-3
)
"""One teacher for all gains, in units of noise."""
MWRESNET = replace(
    TEACHER_NAFNET,
    name="mwresnet",
    network="mwresnet",
    config=_plain(MWResNetConfig()),
    crop_px=80,
    steps=400_000,
    learning_rate=1e-4,
    kernel_rate=None,
)
"""The original network of the four steps. Crops, learning rate and steps are our choice; the authors state none."""
MWRESNET_COLOUR = replace(
    MDRN_COLOUR,
    name="mwresnet-colour",
    network="mwresnet",
    config=_plain(MWResNetConfig(channels=3)),
    crop_px=80,
    steps=400_000,
    learning_rate=1e-4,
)
"""The NTIRE 2020 winner used the same networks on three channels in the colour track. Its pictures came from a phone;
ours have additive white Gaussian noise."""
SMALL = replace(MWRESNET, name="mwresnet-small", config=_plain(SMALL_MWRESNET), steps=20_000, learning_rate=1e-3)

MDRN_2B = replace(
    FANET_FAST,
    name="mdrn-2b",
    network="mdrn",
    config=_plain(MDRNConfig(blocks=2)),
    noise_units=False,
)
"""MDRN's small student for packed mosaics, on anchored values. Crops, learning rate and steps are our choice."""

RECIPES = {
    recipe.name: recipe
    for recipe in (
        FANET_FAST,
        replace(FANET_FAST, name="fanet-fast-one", num_subranges=1, overlap_below=None, steps=48_000),
        replace(
            FANET_FAST,
            name="fanet-fast-specialised",
            crop_px=96,
            learning_rate=1.3e-3,
            kernel_rate=4e-3,
            steps=4_500,
            seed=2,
        ),
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
        replace(
            FANET_FAST,
            name="fanet-balanced",
            config=_plain(BALANCED),
            num_subranges=1,
            overlap_below=None,
            steps=18_000,
            kernel_rate=5e-3,
        ),
        replace(
            FANET_FAST,
            name="teacher-fanet",
            config=_plain(LARGE),
            num_subranges=1,
            overlap_below=None,
            steps=14_000,
            kernel_rate=4e-3,
        ),
        BALANCED_DENSE,
        BEST_DENSE,
        replace(BEST_DENSE, name="best-dense-96", crop_px=96, batch=12, steps=8_000, decay=1.0, seed=2),
        replace(
            BEST_DENSE, name="best-dense-128", crop_px=128, batch=8, steps=4_000, kernel_rate=1e-3, decay=1.0, seed=3
        ),
        MWRESNET,
        replace(MWRESNET, name="mwrcanet", network="mwrcanet", config=_plain(MWRCANetConfig())),
        SMALL,
        replace(SMALL, name="mwrcanet-small", network="mwrcanet", config=_plain(SMALL_MWRCANET)),
        replace(FANET_FAST, name="teacher-upi-unet", network="upi-unet", config=_plain(UPIUNetConfig())),
        replace(FANET_FAST, name="upi-lite", network="upi-unet", config=_plain(UPI_LITE)),
        replace(
            FANET_FAST, name="cycleisp-lite", network="cycleisp", config=_plain(CycleISPConfig()), noise_units=False
        ),
        MDRN_2B,
        replace(MDRN_2B, name="mdrn-7b", config=_plain(MDRNConfig())),
        replace(MDRN_2B, name="teacher-mlefgn", network="mlefgn", config=_plain(MLEFGNConfig())),
        *recipes_of_other_sensors(BALANCED_DENSE, _plain(FAST)),
        *PICTURE_RECIPES,
        MWRESNET_COLOUR,
        replace(MWRESNET_COLOUR, name="mwrcanet-colour", network="mwrcanet", config=_plain(MWRCANetConfig(channels=3))),
    )
}
