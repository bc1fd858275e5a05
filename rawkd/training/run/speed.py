"""How fast a run trains, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rawkd.networks.count import macs_per_packed_px
from rawkd.training.config import Recipe
from rawkd.training.noise_recipe import AWGN

PASSES = 3
"""Forward passes that a step costs: its own, and a backward pass that counts as two (our choice)."""
PX_OF_A_MEGAPIXEL = 1e6


@dataclass(frozen=True)
class Speed:
    """The work of one step.

    Attributes
    ----------
    megapixels : of mosaic, or of the picture where there is no mosaic. gigaflop : floating-point operations / 1e9.
    """

    megapixels: float
    gigaflop: float

    @classmethod
    def of(cls, network: Any, recipe: Recipe, world: int) -> Speed:
        """For a recipe's network on `world` processes that each draw a batch."""
        inputs = world * recipe.batch * recipe.crop_px**2
        mosaic = 1 if recipe.noise.model == AWGN else 4
        macs = macs_per_packed_px(network, network.stride, recipe.config.get("channels", network.in_channels))
        return cls(mosaic * inputs / PX_OF_A_MEGAPIXEL, 2 * PASSES * macs * inputs / 1e9)

    def after(self, steps: int, seconds: float, steps_left: int) -> dict[str, float]:
        """Values for a listener after so many steps of this call in so many seconds."""
        pace = steps / max(seconds, 1e-9)
        return {
            "mp_per_s": self.megapixels * pace,
            "gflops": self.gigaflop * pace,
            "seconds_left": steps_left / max(pace, 1e-9),
        }
