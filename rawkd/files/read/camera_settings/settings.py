"""Camera settings for display: lens, noise reduction in the camera, real ISO, shutter count.

exifread decodes them in a process of its own that is ended after 2 s. Whatever goes wrong there, or reads oddly, leaves
fields out: no setting changes a pixel. Names and codes of maker notes are those of ExifTool's tag tables.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

CHILD = Path(__file__).with_name("child.py")
TIMEOUT_S = 2.0
"""How long decoding may take; a sound file takes a fifth of a second, most of it the start of Python (our choice)."""
LARGEST_ISO = 10_000_000
LARGEST_COUNT = 10_000_000
"""Larger numbers are no ISO and no count of exposures, but damage (our choice)."""
NOTHING = re.compile(r"|n/?a|none|unknown.*|\[\]|-+", re.IGNORECASE)
"""Texts with which a decoder says that it knows no value."""
OFF = re.compile(r"off\b.*|auto \(off\)|on \(unused\)", re.IGNORECASE)

HIGH_ISO = ("MakerNote HighISONoiseReduction", "MakerNote HighISONoiseReduction2", "MakerNote MultiFrameNoiseReduction")
LONG_EXPOSURE = ("MakerNote LongExposureNoiseReduction", "MakerNote LongExposureNoiseReduction2")
EITHER = "MakerNote NoiseReduction"
"""Nikon: FPNR for a dark frame. Olympus: "Noise Reduction" for a dark frame, "Noise Filter" for a filter."""

Texts = Mapping[str, str]


@dataclass(frozen=True)
class CameraSettings:
    """What the camera wrote about its settings; empty or None where it did not, or it cannot be decoded.

    Attributes
    ----------
    lens : name, or focal lengths and apertures.
    noise_reduction : the setting of the camera's noise filter ("Off", "Normal").
    long_exposure_noise_reduction : the setting of its subtraction of a dark frame.
    real_iso : ISO that the camera used, where it differs from what EXIF says. shutter_count : exposures so far.
    """

    lens: str = ""
    noise_reduction: str = ""
    long_exposure_noise_reduction: str = ""
    real_iso: float | None = None
    shutter_count: int | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for every noise reduction that was on."""
        found = []
        if self.noise_reduction and not OFF.fullmatch(self.noise_reduction):
            found.append(
                f"the camera's noise reduction was on ({self.noise_reduction}): some cameras also smooth"
                " the raw, so the measured noise may be too low. Turn it off for raw photos"
            )
        if self.long_exposure_noise_reduction and not OFF.fullmatch(self.long_exposure_noise_reduction):
            found.append(
                f"the camera's long-exposure noise reduction was on ({self.long_exposure_noise_reduction}): if it"
                " subtracted a dark frame, shadow noise and hot pixels differ from those of other photos of this camera"
            )
        return tuple(found)


def read_settings(path: Path, *, timeout_s: float = TIMEOUT_S) -> CameraSettings:
    """Decode the settings of a raw file; never raises for what the file holds.

    Parameters
    ----------
    path : the file. timeout_s : seconds after which decoding is given up.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- our own script
            [sys.executable, "-P", str(CHILD), str(path.absolute())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        found = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, subprocess.SubprocessError, ValueError):
        return CameraSettings()
    if not isinstance(found, dict):
        return CameraSettings()
    return settings_of({str(name): _shown(str(text)) for name, text in found.items()})


def settings_of(texts: Texts) -> CameraSettings:
    """Interpret the texts of tags by name, as exifread spells them ("MakerNote NoiseReduction")."""
    either = texts.get(EITHER, "")
    is_dark_frame = either.upper().startswith("FPNR") or either.startswith("Noise Reduction")
    is_off = OFF.fullmatch(either) is not None
    is_filter = "Filter" in either or either == "Off"
    return CameraSettings(
        lens=_lens(texts),
        noise_reduction=_strongest(texts.get(name, "") for name in HIGH_ISO) or (either if is_filter else ""),
        long_exposure_noise_reduction=_strongest(texts.get(name, "") for name in LONG_EXPOSURE)
        or (either if is_dark_frame or is_off else ""),
        real_iso=_real_iso(texts),
        shutter_count=_count(texts),
    )


def _shown(text: str) -> str:
    """The text without characters that draw on a terminal; empty where it says that there is no value."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return "" if NOTHING.fullmatch(text) else text


def _strongest(texts: Iterable[str]) -> str:
    """The first text that is not off, else the first one."""
    known = [text for text in texts if text]
    return next((text for text in known if not OFF.fullmatch(text)), known[0] if known else "")


def _lens(texts: Texts) -> str:
    """The lens's name, else its focal lengths and largest apertures."""
    names = (texts.get(name, "") for name in ("EXIF LensModel", "MakerNote LensModel", "MakerNote LensType"))
    named = next((name for name in names if name and not name.isdecimal()), "")
    if named:
        return named
    ranges = (texts.get(name, "") for name in ("EXIF LensSpecification", "MakerNote LensMinMaxFocalMaxAperture"))
    return next((lens for text in ranges if (lens := _lens_of_range(text))), "")


def _lens_of_range(text: str) -> str:
    """Turn "[18, 70, 7/2, 9/2]" into "18-70 mm f/3.5-4.5"; empty where that is no lens."""
    try:
        short, long, wide, tele = (float(Fraction(part)) for part in text.strip("[]").split(","))
    except (ValueError, ZeroDivisionError):
        return ""
    if not 0 < short <= long < 10_000:
        return ""
    focal = f"{short:.3g}" if short == long else f"{short:.3g}-{long:.3g}"
    apertures = [value for value in dict.fromkeys((wide, tele)) if 0 < value < 100]
    return f"{focal} mm" + (f" f/{'-'.join(f'{value:.2g}' for value in apertures)}" if apertures else "")


def _real_iso(texts: Texts) -> float | None:
    """Canon's ISO: base (code 32 a stop, 100 at 160) times the automatic part (code 32 a stop, 1 at 0)."""
    try:
        base, automatic = (int(texts[f"MakerNote {name}"]) for name in ("BaseISO", "AutoISO"))
        iso = 100 / 32 * 2 ** (base / 32) * 2 ** (automatic / 32)
    except (KeyError, ValueError, OverflowError):
        return None
    return float(f"{iso:.3g}") if base > 0 and math.isfinite(iso) and 1 <= iso <= LARGEST_ISO else None


def _count(texts: Texts) -> int | None:
    """Exposures that the shutter has made (Nikon)."""
    for name in ("MechanicalShutterCount", "TotalShutterReleases"):
        text = texts.get(f"MakerNote {name}", "")
        if text.isdecimal() and 0 < int(text) <= LARGEST_COUNT:
            return int(text)
    return None
