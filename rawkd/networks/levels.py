"""Properties that all our U-Nets share: the stride, and the layers whose features distillation compares."""

from __future__ import annotations

from typing import Any

from torch import nn


class LevelledNetwork(nn.Module):
    """A network whose lists `encoder` and `decoder` hold one module per level, finest first.

    A subclass sets `config` (with one entry of `widths` per level), `encoder`, and `decoder` (without the coarsest
    level).
    """

    config: Any
    decoder: nn.ModuleList

    @property
    def stride(self) -> int:
        """Height and width must be multiples of it, packed pixels."""
        return 1 << (len(self.config.widths) - 1)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the encoder levels, finest first, at most four."""
        return tuple(f"encoder.{level}" for level in range(min(4, len(self.config.widths))))

    @property
    def decoder_taps(self) -> tuple[str, ...]:
        """Names of the decoder levels, coarsest first."""
        return tuple(f"decoder.{level}" for level in reversed(range(len(self.decoder))))
