"""Options that change pixel values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rawkd.errors import UsageError
from rawkd.sensor.bayer import SYMMETRIES
from rawkd.sensor.defects import DEFECTS


@dataclass(frozen=True)
class DenoiseOptions:
    """Options that change pixel values.

    Attributes
    ----------
    strength : 0..1, the part of the noise that is removed; 0 gives the input's samples back bit for bit.
    luma, chroma : 0..1, scale the luma and the chroma part of what is removed.
    ensemble : 1, 2, 4 or 8 symmetries of the mosaic that are averaged; docs/accuracy.md says why 1.
    noise : (gain, read variance) in signal units where the user knows them, else None.
    noise_source : auto | calibration | profile | blind | iso. calibration : a camera's calibration file, or None.
    model : a tier, the name of a shipped family or model, or a directory; None for the default tier.
    device : auto | cpu | cuda | mps. threads : CPU threads, None for all.
    precision : f32 | bf16 | fp16, None for what the card allows on the device at the photo's gain.
    defects : map | auto, replace the hot and dead pixels that file or calibration name, or look for others, too.
    rows : whether the offset of each row is removed where masked pixels show it.
    """

    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    ensemble: int = 1
    noise: tuple[float, float] | None = None
    noise_source: str = "auto"
    calibration: Path | None = None
    model: str | Path | None = None
    device: str = "auto"
    threads: int | None = None
    precision: str | None = None
    defects: str = "map"
    rows: bool = False

    def __post_init__(self) -> None:
        for name in ("strength", "luma", "chroma"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} {getattr(self, name):g} does not lie between 0 and 1")
        if self.ensemble not in SYMMETRIES:
            raise UsageError(f"an ensemble of {self.ensemble} is none of 1, 2, 4, 8")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads are fewer than one")
        if self.defects not in DEFECTS:
            raise UsageError(f"defects {self.defects!r} are none of {', '.join(DEFECTS)}")

    @property
    def keeps_everything(self) -> bool:
        """Whether these options remove nothing at all."""
        return self.strength == 0 or (self.luma == 0 and self.chroma == 0)
