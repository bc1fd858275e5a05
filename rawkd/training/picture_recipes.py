"""Recipes for finished pictures with additive white Gaussian noise, to reproduce the tables of MDRN's paper.

There is one network per sigma, as in the paper; `Recipe.with_sigma` sets a sigma other than 50, or a range. Crops,
steps and learning rate are our choice, because the paper does not state them.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from rawkd.networks.mdrn import MDRNConfig
from rawkd.networks.mlefgn import MLEFGNConfig
from rawkd.training.config import Recipe
from rawkd.training.noise_recipe import AWGN, NoiseRecipe

SIGMA = 50.0
"""Default noise level; it is in both tables of the paper."""

MDRN_2B_GREY = Recipe(
    "mdrn-2b-grey",
    "mdrn",
    asdict(MDRNConfig(channels=1, blocks=2)),
    noise_units=False,
    low=SIGMA,
    high=SIGMA,
    num_subranges=1,
    overlap=0.0,
    crop_px=64,
    tries=4,
    batch=8,
    steps=16_000,
    learning_rate=2e-3,
    kernel_rate=6e-3,
    noise=NoiseRecipe(model=AWGN),
)
"""Trains in about an hour on one CPU thread with AMX."""
MDRN_2B_COLOUR = replace(MDRN_2B_GREY, name="mdrn-2b-colour", config=asdict(MDRNConfig(channels=3, blocks=2)))
MDRN_GREY = replace(
    MDRN_2B_GREY,
    name="mdrn-grey",
    config=asdict(MDRNConfig(channels=1)),
    batch=16,
    steps=200_000,
    learning_rate=4e-4,
    kernel_rate=None,
)
"""For a GPU. We have never run it to the end."""
MDRN_COLOUR = replace(MDRN_GREY, name="mdrn-colour", config=asdict(MDRNConfig(channels=3)))
PICTURE_RECIPES = (
    MDRN_2B_GREY,
    MDRN_GREY,
    MDRN_2B_COLOUR,
    MDRN_COLOUR,
    replace(MDRN_GREY, name="mlefgn-grey", network="mlefgn", config=asdict(MLEFGNConfig(channels=1))),
    replace(MDRN_COLOUR, name="mlefgn-colour", network="mlefgn", config=asdict(MLEFGNConfig(channels=3))),
)
