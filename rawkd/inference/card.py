"""The card of a model: what it is, what it was made from, and where it holds; `card_file` reads and writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawkd.errors import ModelError
from rawkd.sensor.ksigma import Anchor

BF16_COST_LIMIT_DB = 0.05
"""A network runs in bf16 where that costs less at the photo's gain, for a third fewer seconds; our choice."""

TIERS = ("fast", "balanced", "best")
"""What users choose among, the quickest first; a card says which of them its family is."""
DEFAULT_TIER = "fast"
"""Without `--model`: the best tier that keeps 24 MP under 6 s on 2 cores on every processor, with bf16 or without
(docs/performance.md). Decided here, by measuring, and not where it runs: one version gives one picture everywhere."""

ROUNDING = 1 + 1e-9
"""By which edges of subranges may differ that are the same."""

CHANNELS = {"planes": 4, "planes+variance": 8, "grey": 1, "rgb": 3}
"""What a network takes by the input kind of its card."""
PICTURES = ("grey", "rgb")
"""The kinds of finished pictures, with additive white Gaussian noise: no raw photo is denoised by such a network."""


@dataclass(frozen=True)
class NoiseSubrange:
    """Gains low <= gain < high, in signal units; of a network for pictures, sigma from low to high, white being 255."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise ModelError(f"the noise subrange [{self.low:g}, {self.high:g}) is empty or not positive")

    def __contains__(self, gain: float) -> bool:
        return self.low <= gain < self.high

    def covers(self, low: float, high: float) -> bool:
        """Whether all from low to high lies within, but for rounding."""
        return self.low <= low * ROUNDING and high <= self.high * ROUNDING


@dataclass(frozen=True)
class Golden:
    """What the exported network answers to an input that every machine can make again.

    Attributes
    ----------
    seed, size : of `selftest.golden_input`; size in packed pixels.
    gain, read_variance : the noise of that input.
    patch : packed pixels along the edge of the central patch that is compared.
    residual : base64 of the patch's output - input, (4, patch, patch) little-endian float32.
    """

    seed: int
    size: int
    patch: int
    gain: float
    read_variance: float
    residual: str


@dataclass(frozen=True)
class ModelCard:
    """Everything that is known of one model; `card.json` with its folder.

    Attributes
    ----------
    family, name : a family is a set of networks that share out a range of gains; name is the folder's.
    role : student | teacher. tier : fast | balanced | best, None for a family that is none of them.
    network, config : how `networks.NETWORKS` builds it.
    input : planes | planes+variance | grey | rgb; the last two are finished pictures with white Gaussian noise.
    subrange : gains that it was trained for; of pictures sigma, low and high included, white being 255.
    anchor : the noise it sees; of pictures with gain 0.
    stride : input sizes are multiples of it, packed pixels. halo : packed pixels from a tile's inner edge whose
        output is not exact; half a tile or more says that no tile is exact anywhere (global pooling).
    tile : the largest tile, packed pixels, a multiple of stride.
    params : number of parameters. macs_per_mp : GMAC per megapixel by convention, "1e6" and "2^20".
    files : sha256 by file name. golden : for the self-test.
    data, licence, recipe, commit, seeds, created : where the weights come from.
    metrics : by gain (of pictures by sigma), psnr, psnr_noisy (dB) and ssim. bf16_cost_db : dB lost, likewise, or None
        where unmeasured.
    limits : what it is known not to do, one sentence each.
    directory : where the card lies.
    """

    family: str
    name: str
    role: str
    tier: str | None
    network: str
    config: dict[str, Any]
    input: str
    subrange: NoiseSubrange
    anchor: Anchor
    stride: int
    halo: int
    tile: int
    params: int
    macs_per_mp: dict[str, float]
    files: dict[str, str]
    golden: Golden
    data: Any
    licence: str
    recipe: Any
    commit: str
    seeds: Any
    metrics: dict[str, dict[str, float]]
    bf16_cost_db: dict[str, float] | None
    limits: tuple[str, ...]
    created: str
    directory: Path

    def __post_init__(self) -> None:
        if self.stride < 1 or self.tile < self.stride or self.tile % self.stride:
            raise ModelError(f"model {self.name}: a tile of {self.tile} is no multiple of the stride {self.stride}")
        if 2 * self.halo < self.tile <= -(-2 * self.halo // self.stride) * self.stride:
            raise ModelError(f"model {self.name}: a tile of {self.tile} leaves nothing beside a halo of {self.halo}")
        if not self.is_for_pictures and self.subrange.low == self.subrange.high:
            raise ModelError(f"{self.directory / 'card.json'}: the field subrange is empty: install the model again")
        if (self.anchor.gain == 0) != self.is_for_pictures:
            raise ModelError(
                f"{self.directory / 'card.json'}: the field anchor is no noise of {self.input} (gain "
                f"{self.anchor.gain:g}): install the model again"
            )

    @property
    def is_for_pictures(self) -> bool:
        """Whether it takes finished pictures, grey or colour, and no raw photo."""
        return self.input in PICTURES

    @property
    def channels(self) -> int:
        """Planes of its answer."""
        return 4 if self.input == "planes+variance" else CHANNELS[self.input]

    def check_denoises(self) -> None:
        """Refuse a network that needs more than a photo's planes, or something else.

        Raises
        ------
        ModelError: if it takes a variance map besides: such a network can teach, and be no tier; or takes pictures.
        """
        if self.is_for_pictures:
            raise ModelError(
                f"the model {self.name} takes {self.input} pictures with white Gaussian noise and is no raw model: "
                "choose another with --model"
            )
        if self.input != "planes":
            raise ModelError(
                f"the model {self.name} takes {self.input} and can only teach: choose another with --model"
            )

    @property
    def exact_tiles(self) -> bool:
        """Whether a tile's output is exact beyond the halo, so that tiles may be cropped and set side by side."""
        return 2 * self.halo < self.tile

    def allows_bf16(self, gain: float | None = None) -> bool:
        """Whether bf16 was measured to cost less than `BF16_COST_LIMIT_DB`, at every gain or at those about `gain`."""
        cost = {float(at): value for at, value in (self.bf16_cost_db or {}).items()}
        if gain is not None:
            about = {
                max((at for at in cost if at <= gain), default=None),
                min((at for at in cost if at > gain), default=None),
            }
            cost = {at: value for at, value in cost.items() if at in about}
        return bool(cost) and all(value < BF16_COST_LIMIT_DB for value in cost.values())
