"""What rawkd did to the pixels of a photo, as the text of a history entry and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

OWN_SOFTWARE = "rawkd "
"""Start of the Software tag in every file that rawkd writes, and of the program's name in the history."""
YES_NO = {True: "yes", False: "no"}


@dataclass(frozen=True)
class Treatment:
    """What a version of rawkd changed in the pixels of a photo.

    Attributes
    ----------
    software : name and version of the program.
    model : name of the network, None if no noise was removed. weights_sha256 : identity of its weights
        (`ModelCard.weights_sha256`). precision : f32 | bf16 | fp16 | int8 | int8+bf16 | int7. ensemble :
        number of averaged copies.
    strength, luma, chroma : parts that were removed, 0..1, of all noise, of luminance noise and of colour noise.
    noise, gain, read_variance : source and parameters of the noise of the green pixels, signal units.
    defects : number of replaced hot and dead pixels. rows : whether row offsets were removed.
    """

    software: str
    model: str | None = None
    weights_sha256: str | None = None
    precision: str | None = None
    ensemble: int = 1
    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    noise: str | None = None
    gain: float | None = None
    read_variance: float | None = None
    defects: int = 0
    rows: bool = False

    @property
    def noise_reduction(self) -> float:
        """Return the part of the noise that was removed, for NoiseReductionApplied (50935): 0 none, 1 all.

        It is the strength times the mean of luma and chroma (our choice), so that it is 0 only if nothing was removed.
        """
        return 0.0 if self.model is None else self.strength * (self.luma + self.chroma) / 2

    def parameters(self) -> str:
        """Return the details as text for stEvt:parameters, ``name=value`` separated by semicolons."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "software"}
        if self.model is None:
            values = {name: values[name] for name in ("noise", "gain", "read_variance", "defects", "rows")}
        return "; ".join(f"{name}={_text(value)}" for name, value in values.items() if value is not None)

    @classmethod
    def parsed(cls, software: str, parameters: str) -> Treatment:
        """Return the treatment that a history entry describes; missing and impossible details are the defaults."""
        found: dict[str, Any] = {}
        for name, _, text in (part.strip().partition("=") for part in parameters.split(";")):
            value = _value(name, text)
            if value is not None:
                found[name] = value
        return cls(software, **found)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return YES_NO[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace(";", ",")


def _value(name: str, text: str) -> object:
    """Return the value of one detail, or None if there is no such detail or its value is impossible."""
    if name in ("model", "weights_sha256", "precision", "noise"):
        return text
    if name == "rows":
        return text == YES_NO[True]
    try:
        if name in ("ensemble", "defects"):
            return int(text)
        if name in ("strength", "luma", "chroma", "gain", "read_variance"):
            number = float(text)
            return number if math.isfinite(number) else None
    except ValueError:
        pass
    return None
