"""Calibrate a camera from frames on disk: read them, sort them into bursts, measure, fit, and write the file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rawkd.calibration.calibrate import IsoNoise, gain_law, noise_of_iso, odd_iso, read_law, read_misses
from rawkd.calibration.dark_frames import DarkFrames
from rawkd.calibration.transfer import (
    FrameSample,
    TransferPoints,
    find_bursts,
    is_dark,
    odd_frames,
    sample_frame,
    transfer_points,
)
from rawkd.errors import InputError, NoiseError, OutputError
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.files.write.atomic import atomic_output
from rawkd.photo import Capture, RawPhoto
from rawkd.process import SOFTWARE
from rawkd.report import camera_name
from rawkd.restore.installed_calibration import profile_folder, profile_name
from rawkd.restore.mosaic import Progress, no_progress
from rawkd.sensor.masked import masked_offset_dn
from rawkd.sensor.profile import CameraProfile, profile_record

NUM_BLOCKS = 2048
"""Largest number of blocks per frame: 2 megapixels, 8 MiB in memory."""
BLOCKS_OF_ALL = 65536
"""Approximate largest number of blocks of all frames together: 256 MiB."""
MUCH_CLIPPED = 0.5

Setting = tuple[float, float, float]


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


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frame samples by ISO and exposure setting, black offsets of masked pixels, and defects, of one camera."""

    make: str
    model: str
    range_dn: float
    by_iso: dict[float, dict[Setting, list[FrameSample]]]
    masked_dn: dict[float, list[float]]
    dark: DarkFrames
    remarks: list[str]


def calibrate(paths: Sequence[Path], progress: Progress = no_progress) -> Calibration:
    """Measure the noise of one camera from bursts of still scenes: grey cards, flat fields, dark frames.

    A burst is two or more frames of the same scene and light with the same ISO, exposure time and aperture. Every ISO
    needs several levels, in one scene or in several bursts.

    Raises
    ------
    InputError: if there are fewer than two frames, none is readable, or they come from two cameras. NoiseError: if no
        ISO can be measured.
    """
    if len(paths) < 2:
        raise InputError("a calibration needs at least two frames of the same scene. Give more files.")
    frames = _read(paths, progress)
    remarks, measured, black = frames.remarks, [], {}
    for iso in sorted(frames.by_iso):
        points = []
        for group in frames.by_iso[iso].values():
            points += _measure(group, iso, remarks)
        dark = [point for point in points if point.dark]
        if dark:
            black[iso] = float(np.mean([point.level.mean() for point in dark])) * frames.range_dn
        elif iso in frames.masked_dn:
            black[iso] = float(np.mean(frames.masked_dn[iso]))
        if not points:
            continue
        try:
            measured.append(noise_of_iso(iso, points))
        except NoiseError as error:
            remarks.append(str(error))
    while (odd := odd_iso(measured)) is not None:
        measured = [one for one in measured if one.iso != odd[0]]
        remarks.append(f"ISO {odd[0]:g}: left out, {odd[1]}")
    if not measured:
        reasons = "; ".join(remark.rstrip(".") for remark in remarks)
        raise NoiseError(f"no noise could be measured: {reasons or 'too few frames'}")
    profile = _fit(frames, measured)
    remarks += read_misses(profile, measured)
    return Calibration(profile, tuple(measured), black, frames.range_dn, tuple(remarks))


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


def _read(paths: Sequence[Path], progress: Progress) -> _Frames:
    """Read the blocks of every readable frame; add a remark for each of the others."""
    count = min(NUM_BLOCKS, BLOCKS_OF_ALL // len(paths) + 1)
    found: _Frames | None = None
    remarks: list[str] = []
    first = ""
    with Decoder() as decoder:
        for number, path in enumerate(paths, 1):
            try:
                photo = read_raw(path, decoder=decoder)
            except InputError as error:
                remarks.append(f"left out: {str(error).replace(str(path), path.name)}")
                continue
            capture = photo.capture
            if found is None:
                found = _Frames(capture.make, capture.model, photo.levels.range_dn, {}, {}, DarkFrames(), remarks)
                first = path.name
            elif (capture.make, capture.model) != (found.make, found.model):
                raise InputError(
                    f"{path.name} is from {camera_name(capture) or 'an unknown camera'}, {first} from another camera"
                    f" ({camera_name(Capture(make=found.make, model=found.model))}). Calibrate one camera at a time."
                )
            _file(found, photo, path.name, count)
            progress(number / len(paths))
    if found is None:
        raise InputError(f"none of the {len(paths)} frames can be read: {remarks[0]}")
    return found


def _file(frames: _Frames, photo: RawPhoto, name: str, count: int) -> None:
    """Add a frame's sample under its ISO and exposure; leave out a copy of another frame, whose noise is the same."""
    capture = photo.capture
    if not capture.iso or capture.iso <= 0:
        frames.remarks.append(f"{name}: left out, its ISO is unknown")
        return
    sample = sample_frame(photo, name, count)
    setting = float(capture.iso), float(capture.exposure_s or 0), float(capture.aperture or 0)
    group = frames.by_iso.setdefault(setting[0], {}).setdefault(setting, [])
    inside = (sample.blocks > sample.floor) & (sample.blocks < sample.saturation)  # clipped frames may be identical
    copied = next((one.name for one in group if inside.any() and np.array_equal(one.blocks, sample.blocks)), None)
    if copied is not None:
        frames.remarks.append(f"{name} (ISO {capture.iso:g}): left out, it has the same pixel values as {copied}")
        return
    offset = masked_offset_dn(photo)
    if offset is not None:
        frames.masked_dn.setdefault(setting[0], []).append(offset)
    if is_dark(sample).all():
        frames.dark.add(photo, setting)
    group.append(sample)


def _measure(group: list[FrameSample], iso: float, remarks: list[str]) -> list[TransferPoints]:
    """Return the points of all bursts among frames of one exposure setting; add remarks about frames left out."""
    points = []
    for burst in find_bursts(group):
        kept, odd = odd_frames(burst)
        remarks += [f"{name} (ISO {iso:g}): left out, {reason}" for name, reason in odd.items()]
        if len(kept) < 2:
            alone = "no other frame has its ISO, exposure, scene and light, so it moved or is mislabelled"
            remarks += [f"{frame.name} (ISO {iso:g}): left out, {alone}" for frame in kept]
            continue
        found = transfer_points(kept)
        if found.clipped_share > MUCH_CLIPPED:
            remarks.append(
                f"{kept[0].name} and {len(kept) - 1} more (ISO {iso:g}): {found.clipped_share:.0%} of the blocks are"
                " over- or underexposed and were left out"
            )
        if len(found.level):
            points.append(found)
    return points


def _fit(frames: _Frames, measured: Sequence[IsoNoise]) -> CameraProfile:
    """Fit gain and read variance of all planes over ISO, and add the defects found in dark frames."""
    defects, warnings = frames.dark.maps()
    frames.remarks.extend(warnings)
    return CameraProfile(
        make=frames.make,
        model=frames.model,
        iso_range=(measured[0].iso, measured[-1].iso),
        gain=np.array([gain_law(measured, (plane,))[0] for plane in range(4)]),
        read_variance=np.array([read_law(measured, plane) for plane in range(4)]),
        defects=defects,
    )
