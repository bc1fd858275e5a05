"""The PMRID set (Wang et al., ECCV 2020): 10-bit raws of a phone, scored in sRGB on the set's regions.

The folder has benchmark.json, a list of {input, gt, meta}, and raw dumps: uint16, white is 65535, black is subtracted.
Constants and order of the rendering follow the set's own benchmark (MegEngine/PMRID, Apache-2.0).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rawkd.errors import InputError
from rawkd.evaluation.datasets.case import Case, Score
from rawkd.metrics import bias_permille, psnr, ssim
from rawkd.photo import CFAPattern, DoubleArray, FloatArray, Mosaic, Rect
from rawkd.sensor.noise import NoiseModel

GAIN_DN = (0.0005995267, 0.00868861)
READ_VARIANCE_DN = (7.11772e-7, 6.514934e-4, 0.11492713)
RANGE_DN = 959.0
"""Noise of the phone in 10-bit DN as polynomials of ISO, highest power first; the range is 1023 minus black, 64."""

SSIM_RANGE = 2.0
"""Data range of SSIM in the set's own code: scikit-image assumed -1..1 for floats."""

CONTEXT_PX = 4
"""Number of pixels around a region that demosaicing needs; must be even."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One pair of benchmark.json."""

    name: str
    noisy: Path
    gt: Path
    iso: float
    pattern: CFAPattern
    shape: tuple[int, int]
    gains: DoubleArray
    matrix: DoubleArray
    regions: tuple[Rect, ...]


class PMRID:
    """The pairs of a folder."""

    name = "pmrid"

    def __init__(self, folder: Path) -> None:
        self._entries = {entry.name: entry for entry in read_entries(folder)}
        self.total = len(self._entries)
        self.rules = {
            "domain": "sRGB, every region of interest separately",
            "clip": "white-balanced mosaic to 0..1, rounded to 16 bits; sRGB to 0..1",
            "crop": "the set's regions",
            "isp": "the set's gains, edge-aware demosaicing as in OpenCV, the set's matrix, gamma 2.2, for both sides",
            "psnr": "all channels, peak 1; mean and median over all regions",
            "ssim": "scikit-image's window 7 x 7, mean of the channels, data range 2 as in the set's own code",
            "bias": "raw, mean of result - reference before clipping, in thousandths of the reference's mean",
            "noise": "the set's gain and read variance for each ISO",
            "saturation": "signal 1",
        }

    def cases(self) -> Iterator[Case]:
        """Yield one case per picture."""
        for entry in self._entries.values():
            yield Case(
                name=entry.name,
                group=f"ISO {entry.iso:g}",
                noisy=_dump(entry.noisy, entry),
                reference=_dump(entry.gt, entry),
                noise=noise_at(entry.iso),
            )

    def score(self, case: Case, method: str, restored: Mosaic) -> Iterator[Score]:  # noqa: ARG002
        """Yield one score per region."""
        entry = self._entries[case.name]
        if case.reference is None:
            return
        for number, region in enumerate(entry.regions):
            after, truth = (develop(mosaic, region, entry) for mosaic in (restored, case.reference))
            raw_after, raw_truth = (mosaic.data[region.slices] for mosaic in (restored, case.reference))
            values = {
                "srgb_psnr_db": psnr(after, truth),
                "srgb_ssim": ssim(after, truth, SSIM_RANGE, window="uniform", channel_axis=-1),
                "psnr_db": psnr(np.clip(raw_after, 0, 1), raw_truth),
                "bias_permille": bias_permille(raw_after, raw_truth),
            }
            yield Score(f"{case.name} region {number}", values)


def noise_at(iso: float) -> NoiseModel:
    """Return the phone's noise at an ISO, signal units."""
    gain = float(np.polyval(GAIN_DN, iso)) / RANGE_DN
    read = float(np.polyval(READ_VARIANCE_DN, iso)) / RANGE_DN**2
    return NoiseModel(np.array(gain), np.array(read), "the set's calibration")


def read_entries(folder: Path) -> list[Entry]:
    """Return the pairs listed in benchmark.json.

    Raises
    ------
    InputError: if it is missing or invalid.
    """
    path = folder / "benchmark.json"
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}). Give the folder of the data set.") from error
    try:
        entries = [_entry(folder, item) for item in listed]
    except (KeyError, TypeError, ValueError, IndexError, InputError) as error:
        raise InputError(f"{path}: missing or invalid: {error}. Download it again.") from error
    if not entries or len({entry.name for entry in entries}) != len(entries):
        raise InputError(f"{path}: lists no picture, or two with the same name. Download it again.")
    return entries


def _entry(folder: Path, item: dict[str, Any]) -> Entry:
    meta = item["meta"]
    height, width = (int(size) for size in meta["shape"])
    regions = []
    for x0, y0, x1, y1 in meta["ROIs"]:
        region = Rect(int(y0), int(x0), int(y1) - int(y0), int(x1) - int(x0))
        if not region.inside(height, width):
            raise ValueError(f"the region {[x0, y0, x1, y1]} of {meta['name']}")
        regions.append(region)
    gains, matrix = np.array(meta["wb_gain"], np.float64), np.array(meta["CCM"], np.float64)
    if gains.shape != (3,) or matrix.shape != (3, 3) or not regions or height % 2 or width % 2:
        raise ValueError(f"gains, matrix, size or regions of {meta['name']}")
    return Entry(
        name=str(meta["name"]),
        noisy=folder / str(item["input"]),
        gt=folder / str(item["gt"]),
        iso=float(meta["ISO"]),
        pattern=CFAPattern(meta["bayer_pattern"]),
        shape=(height, width),
        gains=gains,
        matrix=matrix,
        regions=tuple(regions),
    )


def _dump(path: Path, entry: Entry) -> Mosaic:
    """Read the signal of a raw dump."""
    try:
        codes = np.fromfile(path, "<u2")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Download it again.") from error
    if codes.size != entry.shape[0] * entry.shape[1]:
        raise InputError(
            f"{path}: {codes.size} samples do not fit the shape {entry.shape} of {entry.name}. Download it again."
        )
    return Mosaic((codes.reshape(entry.shape) / np.float32(65535)).astype(np.float32), entry.pattern)


def develop(mosaic: Mosaic, region: Rect, entry: Entry) -> FloatArray:
    """Render a region as the set's benchmark does, (height, width, 3) float32 in 0..1."""
    height, width = mosaic.data.shape
    top, left = (max(start // 2 * 2 - CONTEXT_PX, 0) for start in (region.top, region.left))
    bottom = min(-(-(region.top + region.height) // 2) * 2 + CONTEXT_PX, height)
    right = min(-(-(region.left + region.width) // 2) * 2 + CONTEXT_PX, width)
    part = mosaic.data[top:bottom, left:right].astype(np.float64)
    sites = mosaic.pattern.class_of_site
    gains = entry.gains[[0, 1, 1, 2]][sites]
    for row, column in np.ndindex(2, 2):
        part[row::2, column::2] *= gains[row, column]
    codes = np.rint(np.clip(part, 0, 1).astype(np.float32) * np.float32(65535)).astype(np.int32)
    rgb = edge_aware(codes, mosaic.pattern).astype(np.float32) / np.float32(65535)
    linear = np.clip(rgb @ entry.matrix.T, 0, 1)
    shown: FloatArray = (linear ** (1 / 2.2)).astype(np.float32)
    return shown[region.top - top :, region.left - left :][: region.height, : region.width]


def edge_aware(codes: Any, pattern: CFAPattern) -> Any:
    """Demosaic like OpenCV's COLOR_BAYER_*_EA (edge-aware): green is averaged along the smaller of two differences.

    Red and blue are means of the nearest two or four samples. Integers are rounded half up, and the outermost pixels
    copy their inner neighbours, as in OpenCV.

    Parameters
    ----------
    codes : (H, W) int32, 0..65535, H and W even and at least 4.

    Returns
    -------
    (H, W, 3) int32.
    """
    inner = codes[1:-1, 1:-1]
    up, down, left, right = codes[:-2, 1:-1], codes[2:, 1:-1], codes[1:-1, :-2], codes[1:-1, 2:]
    across, along = (left + right + 1) >> 1, (up + down + 1) >> 1
    crosswise = (codes[:-2, :-2] + codes[:-2, 2:] + codes[2:, :-2] + codes[2:, 2:] + 2) >> 2
    green = np.where(np.abs(left - right) > np.abs(up - down), along, across)
    planes = pattern.class_of_site
    out = np.empty((*codes.shape, 3), np.int32)
    for row, column in np.ndindex(2, 2):
        plane = planes[(row + 1) % 2, (column + 1) % 2]
        place = (slice(row, None, 2), slice(column, None, 2))
        values = {
            0: (inner, green, crosswise),
            1: (across, inner, along),
            2: (along, inner, across),
            3: (crosswise, green, inner),
        }[int(plane)]
        for colour, value in enumerate(values):
            out[1:-1, 1:-1, colour][place] = value[place]
    out[:, 0], out[:, -1] = out[:, 1], out[:, -2]
    out[0], out[-1] = out[1], out[-2]
    return out
