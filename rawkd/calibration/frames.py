"""Calibrate a camera from frames on disk: read them, sort them into bursts, measure, and fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rawkd.calibration.calibrate import IsoNoise, gain_law, noise_of_iso, odd_iso, read_law, read_misses
from rawkd.calibration.calibration_file import Calibration
from rawkd.calibration.dark_frames import DarkFrames
from rawkd.calibration.frame_sample import FrameSample, is_dark, sample_frame
from rawkd.calibration.transfer import TransferPoints, find_bursts, odd_frames, transfer_points
from rawkd.errors import InputError, NoiseError
from rawkd.files.read.decode import Decoder
from rawkd.files.read.raw import read_raw
from rawkd.photo import Capture, CFAPattern, RawPhoto, camera_name
from rawkd.restore.mosaic import Progress, no_progress
from rawkd.sensor.masked import masked_offset_dn
from rawkd.sensor.profile import CameraProfile

NUM_BLOCKS = 2048
"""Largest number of blocks of 1024 pixels per frame: 2 megapixels, 8 MiB in memory."""
BLOCKS_OF_ALL = 65536
"""Approximate largest number of blocks of all frames together: 256 MiB."""
MUCH_CLIPPED = 0.5

Setting = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frame samples by ISO and exposure setting, black offsets of masked pixels, and defects, of one camera."""

    make: str
    model: str
    cell: CFAPattern
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
    InputError: if one is a folder, there are fewer than two frames, none is readable, or they come from two cameras.
    NoiseError: if no ISO can be measured.
    """
    _refuse_no_frames(paths)
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


def _refuse_no_frames(paths: Sequence[Path]) -> None:
    """Raise InputError for a folder, and for fewer than two frames."""
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 -- no error for a name that is too long
            raise InputError(f"{path}: this is a folder. Give its files, such as {path / '*.dng'}")
    if len(paths) < 2:
        raise InputError("a calibration needs at least two frames of the same scene. Give more files.")


def _read(paths: Sequence[Path], progress: Progress) -> _Frames:
    """Read the blocks of every readable frame; add a remark for each of the others."""
    count = min(NUM_BLOCKS, BLOCKS_OF_ALL // len(paths) + 1)
    found: _Frames | None = None
    remarks: list[str] = []
    first = Path()
    with Decoder() as decoder:
        for number, path in enumerate(paths, 1):
            try:
                photo = read_raw(path, decoder=decoder)
            except InputError as error:
                remarks.append(f"left out: {str(error).replace(str(path), path.name)}")
                continue
            capture = photo.capture
            if found is None:
                cell = photo.pattern.canonical
                found = _Frames(capture.make, capture.model, cell, photo.levels.range_dn, {}, {}, DarkFrames(), remarks)
                first = path
            elif (capture.make, capture.model) != (found.make, found.model):
                raise InputError(
                    f"{path} is from {camera_name(capture) or 'an unknown camera'}, {first} from another camera"
                    f" ({camera_name(Capture(make=found.make, model=found.model))}). Calibrate one camera at a time."
                )
            if photo.pattern.canonical != found.cell:
                raise InputError(
                    f"the mosaic of {path} is {photo.pattern.name}, that of {first} {found.cell.name}. Calibrate"
                    " one sensor at a time."
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
    """Fit gain and read variance of all noise classes over ISO, and add the defects found in dark frames."""
    defects, warnings = frames.dark.maps()
    frames.remarks.extend(warnings)
    return CameraProfile(
        make=frames.make,
        model=frames.model,
        iso_range=(measured[0].iso, measured[-1].iso),
        gain=np.array([gain_law(measured, (one,))[0] for one in range(len(frames.cell.classes))]),
        read_variance=np.array([read_law(measured, one) for one in range(len(frames.cell.classes))]),
        defects=defects,
    )
