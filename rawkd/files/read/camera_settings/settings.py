"""Read camera settings for display: lens, in-camera noise reduction, real ISO, shutter count.

exifread decodes them in a child process that is stopped after 2 s. Settings that cannot be decoded or look invalid are
left out; no setting changes a pixel. Names and codes of maker notes follow ExifTool's tag tables.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from rawkd.files.child_process import child_command

CHILD = Path(__file__).with_name("child.py")
TIMEOUT_S = 2.0
"""Time limit of decoding; an intact file takes 0.2 s, mostly to start Python (our choice)."""
LARGEST_ISO = 10_000_000
LARGEST_COUNT = 10_000_000
"""Larger values of ISO or shutter count are treated as damage (our choice)."""
NO_VALUE = re.compile(r"|n/?a|none|unknown.*|\[\]|-+", re.IGNORECASE)
"""Texts that a decoder returns for an unknown value."""
OFF = re.compile(r"off\b.*|auto \(off\)|on \(unused\)", re.IGNORECASE)

HIGH_ISO = ("MakerNote HighISONoiseReduction", "MakerNote HighISONoiseReduction2", "MakerNote MultiFrameNoiseReduction")
LONG_EXPOSURE = ("MakerNote LongExposureNoiseReduction", "MakerNote LongExposureNoiseReduction2")
EITHER = "MakerNote NoiseReduction"
"""Tag whose text names either kind. Nikon: FPNR means a dark frame. Olympus: "Noise Reduction" means a dark frame,
"Noise Filter" a filter."""

Texts = Mapping[str, str]


@dataclass(frozen=True)
class CameraSettings:
    """Settings that the camera wrote; empty or None if missing or undecodable.

    Attributes
    ----------
    lens : name, or focal lengths and apertures.
    noise_reduction : setting of the camera's noise filter ("Off", "Normal").
    long_exposure_noise_reduction : setting of the camera's dark-frame subtraction.
    real_iso : ISO that the camera actually used (Canon). shutter_count : number of exposures so far.
    """

    lens: str = ""
    noise_reduction: str = ""
    long_exposure_noise_reduction: str = ""
    real_iso: float | None = None
    shutter_count: int | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """One warning for each kind of noise reduction that was on."""
        found = []
        if self.noise_reduction and not OFF.fullmatch(self.noise_reduction):
            found.append(
                f"the camera's noise reduction was on ({self.noise_reduction}). Some cameras also smooth"
                " the raw, so the measured noise may be too low. Turn it off for raw photos."
            )
        if self.long_exposure_noise_reduction and not OFF.fullmatch(self.long_exposure_noise_reduction):
            found.append(
                f"the camera's long-exposure noise reduction was on ({self.long_exposure_noise_reduction}). If it"
                " subtracted a dark frame, shadow noise and hot pixels differ from other photos of this camera."
            )
        return tuple(found)


def read_settings(path: Path, *, timeout_s: float = TIMEOUT_S) -> CameraSettings:
    """Return the settings of a raw file; damaged content never raises an error.

    Parameters
    ----------
    path : the file. timeout_s : time limit of decoding, seconds.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- our own script
            child_command(CHILD, str(path.absolute())),
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
    """Return the settings for tag texts by name, in exifread's spelling ("MakerNote NoiseReduction")."""
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
    """Return the text without control characters; empty if it stands for an unknown value."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return "" if NO_VALUE.fullmatch(text) else text


def _strongest(texts: Iterable[str]) -> str:
    """Return the first text that is not off, else the first text, else an empty one."""
    known = [text for text in texts if text]
    return next((text for text in known if not OFF.fullmatch(text)), known[0] if known else "")


def _lens(texts: Texts) -> str:
    """Return the name of the lens, else its focal lengths and largest apertures."""
    names = (texts.get(name, "") for name in ("EXIF LensModel", "MakerNote LensModel", "MakerNote LensType"))
    named = next((name for name in names if name and not name.isdecimal()), "")
    if named:
        return named
    ranges = (texts.get(name, "") for name in ("EXIF LensSpecification", "MakerNote LensMinMaxFocalMaxAperture"))
    return next((lens for text in ranges if (lens := _lens_of_range(text))), "")


def _lens_of_range(text: str) -> str:
    """Convert "[18, 70, 7/2, 9/2]" to "18-70 mm f/3.5-4.5"; empty if it does not describe a lens."""
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
    """Return Canon's ISO: base (32 codes per stop, code 160 is 100) times automatic factor (32 per stop, 0 is 1)."""
    try:
        base, automatic = (int(texts[f"MakerNote {name}"]) for name in ("BaseISO", "AutoISO"))
        iso = 100 / 32 * 2 ** (base / 32) * 2 ** (automatic / 32)
    except (KeyError, ValueError, OverflowError):
        return None
    return float(f"{iso:.3g}") if base > 0 and math.isfinite(iso) and 1 <= iso <= LARGEST_ISO else None


def _count(texts: Texts) -> int | None:
    """Return the number of exposures of the shutter (Nikon)."""
    for name in ("MechanicalShutterCount", "TotalShutterReleases"):
        text = texts.get(f"MakerNote {name}", "")
        if text.isdecimal() and 0 < int(text) <= LARGEST_COUNT:
            return int(text)
    return None
