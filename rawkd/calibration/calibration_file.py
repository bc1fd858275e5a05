"""A measured camera and its calibration file: its content, where it is installed, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rawkd.calibration.calibrate import IsoNoise
from rawkd.errors import InputError, OutputError, UsageError
from rawkd.files.naming import refuse_photos_name, refuse_to_overwrite
from rawkd.files.write.atomic import atomic_output
from rawkd.process import SOFTWARE
from rawkd.restore.installed_calibration import profile_folder, profile_name
from rawkd.sensor.profile import CameraProfile, profile_record


@dataclass(frozen=True, eq=False)
class Calibration:
    """A camera's noise and the measurements behind it.

    Attributes
    ----------
    measured : noise at each used ISO, in rising order.
    black_offset_dn : mean of the dark frames (or masked pixels) minus the stated black level, DN, by ISO.
    range_dn : DN of one unit of signal.
    remarks : what was left out, with the reason, and warnings.
    """

    profile: CameraProfile
    measured: tuple[IsoNoise, ...]
    black_offset_dn: dict[float, float]
    range_dn: float
    remarks: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """Return the content of the calibration file: what `rawkd.sensor.profile` reads, plus the measurements."""
        measured = [
            {
                "iso": one.iso,
                "frames": one.num_frames,
                "gain": one.gain.tolist(),
                "gain_error": one.gain_error.tolist(),
                "read_variance": one.read_variance.tolist(),
                "read_variance_error": one.read_error.tolist(),
                "row_variance": one.row_variance,
                "chi_square": one.chi_square,
                "black_offset_dn": self.black_offset_dn.get(one.iso),
            }
            for one in self.measured
        ]
        record = profile_record(self.profile)
        return record | {"measured": measured, "remarks": list(self.remarks), "software": SOFTWARE}


def refuse_name(path: Path, frames: Iterable[Path], *, overwrite: bool) -> None:
    """Check the name of a calibration file before any work is done.

    Raises
    ------
    UsageError: if it does not end in .json. OutputError: if it is one of the frames, exists, or cannot be written.
    """
    refuse_photos_name(path, frames)
    if path.suffix.lower() != ".json":
        raise UsageError(f"{path}: a calibration is a JSON file. Give a name that ends in .json.")
    refuse_to_overwrite(path, overwrite=overwrite)


def write_calibration(calibration: Calibration, path: Path, *, overwrite: bool = False) -> None:
    """Write the calibration file.

    Raises
    ------
    OutputError: if it exists and `overwrite` is not set, or it cannot be written.
    """
    lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in calibration.record().items())
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    with atomic_output(path, overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")


def install_path(profile: CameraProfile) -> Path:
    """Return the path at which `rawkd denoise` finds a camera's calibration file; create its folder.

    Raises
    ------
    InputError: if the frames do not name their camera. OutputError: if the folder cannot be created.
    """
    if not profile.model.strip():
        raise InputError("the frames do not name their camera, so nothing can be installed. Use --out FILE.json.")
    folder = profile_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be created ({error.strerror}). Use --out FILE.json.") from error
    return folder / profile_name(profile.make, profile.model)
