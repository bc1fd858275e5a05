"""The model card: what a model is, how it was made, and which noise it is for. `card_file` reads and writes it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rawkd.errors import ModelError
from rawkd.photo import CFAPattern, Kind
from rawkd.sensor.ksigma import Anchor

COST_LIMIT_DB = 0.05
"""A network runs in bf16, in int8 or in both if that costs less PSNR than this at the photo's gain (our choice)."""

TIERS = ("fast", "balanced", "best")
"""The tiers that users choose from, fastest first. A card states the tier of its family."""
DEFAULT_TIER = "fast"
"""The tier without `--model`: the best one that takes under 6 s for 24 MP on 2 cores of every processor, with or
without bf16 (docs/performance.md). It is a constant, so that one version gives the same picture on every machine."""

ROUNDING = 1.001
"""Edges of subranges that differ by less than this factor are equal; some were written with four digits."""

WEIGHTS_PREFIX = "weights"
"""Start of the names of the files with weights (`rawkd.inference.weights`)."""

INPUTS = ("planes", "planes+variance", "grey", "rgb")
"""Values of the `input` field of a card: a packed mosaic, the same with a variance map, finished pictures."""
PICTURES = ("grey", "rgb")
"""Input kinds of networks for finished pictures with additive white Gaussian noise. They cannot denoise raw photos."""


def channels_of(kind: str, cfa: Kind = "bayer") -> int:
    """Return the number of input channels of a network.

    Parameters
    ----------
    kind : one of `INPUTS`. cfa : kind of sensor; a packed mosaic has one plane for each site of its cell.
    """
    planes = CFAPattern.of_kind(cfa).side ** 2
    return {"planes": planes, "planes+variance": 2 * planes, "grey": 1, "rgb": 3}[kind]


@dataclass(frozen=True)
class NoiseSubrange:
    """The noise that a network is for: gains low <= gain < high, signal units.

    For a network for pictures: sigma from low to high (inclusive), white 255.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < math.inf:
            raise ModelError(f"the noise subrange [{self.low:g}, {self.high:g}) is empty or not positive")

    def __contains__(self, gain: float) -> bool:
        return self.low <= gain < self.high

    def covers(self, low: float, high: float) -> bool:
        """Return whether the range low to high lies within this one, apart from rounding."""
        return self.low <= low * ROUNDING and high <= self.high * ROUNDING


@dataclass(frozen=True)
class Golden:
    """Reference output of the exported network for a synthetic input that every machine can reproduce.

    Attributes
    ----------
    seed, size : of `selftest.golden_input`; size in packed pixels.
    gain, read_variance : noise of that input.
    patch : side of the central patch that is compared, packed pixels.
    residual : base64 of the patch's output - input, (channels, patch, patch) little-endian float32.
    """

    seed: int
    size: int
    patch: int
    gain: float
    read_variance: float
    residual: str


@dataclass(frozen=True)
class Int8:
    """What a network needs to compute in int8 (`inference.graph.int8`).

    Attributes
    ----------
    ranges : by the name of each convolution to quantise, base64 of its range by input channel, float16.
    cost_db : PSNR that int8 loses, dB, by gain.
    """

    ranges: dict[str, str]
    cost_db: dict[str, float]


@dataclass(frozen=True)
class ModelCard:
    """All facts about one model: the contents of `card.json`, and its folder.

    Attributes
    ----------
    family, name : a family is a set of networks that together cover a range of gains; name is that of the folder.
    role : student | teacher. tier : fast | balanced | best, or None.
    network, config : name and configuration for `networks.build_network`.
    input : planes | planes+variance | grey | rgb; the last two are finished pictures with white Gaussian noise.
    subrange : gains that it was trained for; for pictures, sigma from low to high inclusive, white 255.
    anchor : noise of its input after k-sigma; for pictures, gain 0.
    stride : input sizes are multiples of it, packed pixels. halo : distance from a tile's inner edge within which the
        output is not exact, packed pixels; half a tile or more means that no tile is exact anywhere (global pooling).
    tile : the largest tile, packed pixels, a multiple of stride.
    params : number of parameters. macs_per_mp : GMAC per megapixel, keys "1e6" and "2^20" (`networks.count`).
    files : sha256 by file name. golden : reference output for the self-test.
    data, licence, recipe, commit, seeds, created : origin of the weights.
    metrics : psnr, psnr_noisy (dB) and ssim by gain (for pictures by sigma). bf16_cost_db : PSNR that bf16 loses, dB,
        by the same keys; None if not measured.
    limits : known limitations, one sentence each.
    directory : the folder of the card.
    cfa : kind of sensor whose mosaics it takes: bayer | xtrans | mono; without meaning for pictures.
    int8 : None for a network that cannot compute in int8. int7 : the same for
        kernels of -63 to 63, which processors without VNNI can add.
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
    cfa: Kind = "bayer"
    int8: Int8 | None = None
    int7: Int8 | None = None

    def __post_init__(self) -> None:
        if self.stride < 1 or self.tile < self.stride or self.tile % self.stride:
            raise self._error(f"a tile of {self.tile} is not a multiple of the stride {self.stride}")
        if 2 * self.halo < self.tile <= -(-2 * self.halo // self.stride) * self.stride:
            raise self._error(f"a tile of {self.tile} is too small for a halo of {self.halo}")
        if not self.is_for_pictures and self.subrange.low == self.subrange.high:
            raise self._error("the field subrange is empty")
        if (self.anchor.gain == 0) != self.is_for_pictures:
            raise self._error(f"the field anchor (gain {self.anchor.gain:g}) does not fit the input {self.input}")

    def _error(self, fault: str) -> ModelError:
        return ModelError(f"{self.directory / 'card.json'}: {fault}. Install the model again.")

    @property
    def is_for_pictures(self) -> bool:
        """Whether the network takes finished pictures (grey or colour) instead of raw photos."""
        return self.input in PICTURES

    @property
    def channels(self) -> int:
        """Number of channels of the output."""
        return channels_of("planes" if self.input == "planes+variance" else self.input, self.cfa)

    @property
    def cell(self) -> CFAPattern:
        """The canonical cell of the mosaics that it takes."""
        return CFAPattern.of_kind(self.cfa)

    @property
    def weights_sha256(self) -> str:
        """Return the identity of the weights: the sha256 of their file, or of the sha256s of several files in order.

        It is that of the network's file if the model has no weights apart from it.
        """
        found = [self.files[name] for name in sorted(self.files) if name.startswith(WEIGHTS_PREFIX)]
        if len(found) > 1:
            return hashlib.sha256("".join(found).encode()).hexdigest()
        return next(iter(found or self.files.values()), "")

    def check_denoises(self) -> None:
        """Refuse a network that cannot denoise raw photos.

        Raises
        ------
        ModelError: if the network takes finished pictures, or needs a variance map (it can then only be a teacher).
        """
        if self.is_for_pictures:
            raise ModelError(
                f"the model {self.name} is for {self.input} pictures with white Gaussian noise, not for raw photos. "
                "Choose another one with --model."
            )
        if self.input != "planes":
            raise ModelError(
                f"the model {self.name} needs {self.input} as input, so it can only be a teacher. "
                "Choose another one with --model."
            )

    @property
    def exact_tiles(self) -> bool:
        """Whether a tile's output is exact beyond the halo, so that cropped tiles can be joined without blending."""
        return 2 * self.halo < self.tile

    @property
    def roundings(self) -> dict[str, Int8]:
        """What the network rounds in int8 and in int7, as far as it can compute in them."""
        return {name: one for name, one in (("int8", self.int8), ("int7", self.int7)) if one is not None}

    def allows(self, *precisions: str, gain: float | None = None) -> bool:
        """Return whether the measured costs of bf16, int8, int7, or bf16 and int8 together are below `COST_LIMIT_DB`.

        A cost below zero, a gain by chance, counts as zero.

        Parameters
        ----------
        gain : the nearest measured gains below and above it count; None for all measured gains.
        """
        cost_db = {"bf16": self.bf16_cost_db or {}, **{name: one.cost_db for name, one in self.roundings.items()}}
        costs = [{float(at): value for at, value in cost_db.get(name, {}).items()} for name in precisions]
        about: set[float | None] = {*costs[0]}
        if any(one.keys() != about for one in costs):
            return False
        if gain is not None:
            measured = costs[0]
            about = {
                max((at for at in measured if at <= gain), default=None),
                min((at for at in measured if at > gain), default=None),
            }
        found = [sum(max(0.0, one[at]) for one in costs) for at in about if at is not None]
        return bool(found) and all(value < COST_LIMIT_DB for value in found)
