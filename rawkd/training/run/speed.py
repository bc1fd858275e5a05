"""Speed and remaining time of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rawkd.networks.count import macs_per_packed_px
from rawkd.training.config import Recipe

PASSES = 3
"""Cost of a step in forward passes: one, plus a backward pass that counts as two (our choice)."""
PX_OF_A_MEGAPIXEL = 1e6


@dataclass(frozen=True)
class Speed:
    """Amount of work per step.

    Attributes
    ----------
    megapixels : of mosaic, or of pictures for awgn. gigaflop : floating-point operations / 1e9.
    """

    megapixels: float
    gigaflop: float

    @classmethod
    def of(cls, network: Any, recipe: Recipe, world: int) -> Speed:
        """Return the work per step for `world` processes with one batch each."""
        crops = world * recipe.batch
        macs = macs_per_packed_px(network, network.stride, network.in_channels)
        flop = 2 * PASSES * macs * crops * recipe.crop_px**2
        return cls(crops * recipe.crop_side_px**2 / PX_OF_A_MEGAPIXEL, flop / 1e9)

    def after(self, steps: int, seconds: float, steps_left: int) -> dict[str, float]:
        """Return speed and remaining time after `steps` steps in `seconds` seconds (see `loop.Progress`)."""
        pace = steps / max(seconds, 1e-9)
        return {
            "mp_per_s": self.megapixels * pace,
            "gflops": self.gigaflop * pace,
            "seconds_left": steps_left / max(pace, 1e-9),
        }
