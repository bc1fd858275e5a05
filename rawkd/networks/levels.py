"""What U-Nets have alike: halvings, and features that a teacher can be compared by."""

from __future__ import annotations

from typing import Any

from torch import nn


class LevelledNetwork(nn.Module):
    """A network whose lists `encoder` and `decoder` hold one module a level, finest first.

    A subclass sets `config` (with `widths`, one a level), `encoder` and `decoder` (of every level but the coarsest).
    """

    config: Any
    decoder: nn.ModuleList

    @property
    def stride(self) -> int:
        """Packed pixels that height and width are multiples of."""
        return 1 << (len(self.config.widths) - 1)

    @property
    def taps(self) -> tuple[str, ...]:
        """The encoder's levels, finest first, at most four."""
        return tuple(f"encoder.{level}" for level in range(min(4, len(self.config.widths))))

    @property
    def decoder_taps(self) -> tuple[str, ...]:
        """The decoder's levels, coarsest first."""
        return tuple(f"decoder.{level}" for level in reversed(range(len(self.decoder))))
