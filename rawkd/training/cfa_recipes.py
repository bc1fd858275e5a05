"""Recipes for X-Trans and monochrome sensors: one network for all gains per kind of sensor and tier.

Data, noise and training are those of the Bayer recipes; sizes give about the multiply-accumulates of the Bayer tiers.
The balanced ones and `mono-fast` can start from the Bayer network of their tier (`--start-from`, `run.grow`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rawkd.photo import CFAPattern
from rawkd.training.config import Recipe

XTRANS_GROUPS = CFAPattern.XTRANS.class_of_site.ravel().tolist()
HALVES: dict[str, Any] = {"planes": 36, "patch": False, "halves": True, "mean_window": 5, "mean_groups": XTRANS_GROUPS}
"""Positions of 3x3 pixels. After 400 steps at 4 to 5 GMAC per megapixel they remove 8.3 dB of the noise, positions of
6x6 pixels 4.2 dB (Bayer: 9.2 dB)."""
BALANCED: dict[str, Any] = {**HALVES, "encoder_blocks": [0, 1, 1, 2], "decoder_blocks": [1, 1, 1]}
"""The widths of Bayer's balanced network, so that its body can be the start, and fewer blocks."""
FAST: dict[str, Any] = {**HALVES, "widths": [32, 44, 56, 80]}
"""Narrower than Bayer's fast network, which therefore cannot be its start."""
CELLS: dict[str, Any] = {
    "planes": 36,
    "patch": False,
    "widths": [72, 96, 144, 216],
    "mean_window": 5,
    "mean_groups": XTRANS_GROUPS,
}
"""Positions of 6x6 pixels, one and a half times as wide as Bayer's network: to compare."""
XTRANS_CROP_PX = 24
"""Side of a crop: 144 pixels of mosaic; those of Bayer have 128."""


def recipes_of_other_sensors(balanced: Recipe, fast_config: dict[str, Any]) -> tuple[Recipe, ...]:
    """Return the recipes for X-Trans and monochrome sensors.

    Noise is not smoothed for them: `Camera.smoothing` mixes the neighbours in a plane of Bayer, which are no neighbours
    of these sensors.

    Parameters
    ----------
    balanced : recipe of the balanced tier for Bayer. fast_config : configuration of its fast network.
    """
    balanced = replace(balanced, noise=replace(balanced.noise, smoothed=0.0))
    fast = replace(balanced, config=fast_config, kernel_rate=4e-3)
    one_colour = {"mean_groups": [0, 0, 0, 0]}
    return (
        _of_xtrans(balanced, "xtrans-balanced", BALANCED),
        _of_xtrans(balanced, "xtrans-balanced-cells", CELLS),
        _of_xtrans(fast, "xtrans-fast", FAST),
        replace(balanced, name="mono-balanced", cfa="mono", config={**balanced.config, **one_colour}),
        replace(fast, name="mono-fast", cfa="mono", config={**fast.config, **one_colour}),
    )


def _of_xtrans(bayer: Recipe, name: str, changes: dict[str, Any]) -> Recipe:
    return replace(bayer, name=name, config={**bayer.config, **changes}, cfa="xtrans", crop_px=XTRANS_CROP_PX)
