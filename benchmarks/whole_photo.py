"""Measure seconds and peak memory of `rawkd denoise`, from file to file.

    python benchmarks/whole_photo.py [--megapixels 24] [--ensemble 1] [--format dng] [--runs 3] [--threads N]
                                     [--model NAME|DIR] [--cfa bayer] [--compressed]

Makes a 14-bit DNG of that size (a ramp, discs and gratings with Poisson-Gaussian noise, seed 1) and denoises it in a
fresh process each run. Prints the best and the median wall seconds, the seconds of each step, and the largest sum of
resident memory of the process and its children, read every 20 ms from /proc (Linux only).

The DNG of a Bayer sensor is not compressed unless --compressed is given; others are, and LibRaw takes longer to read
them. So compare X-Trans and monochrome with a compressed Bayer DNG.

The disk cache of compiled networks is warm, as it is for all photos but the first: it lies in a temporary folder, and a
run that is not measured fills it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from scenes_of_every_cfa import scene_photo  # type: ignore[import-not-found]
from script_errors import without_traceback
from synthetic_dng import write_dng  # type: ignore[import-not-found]

from rawkd.files.write.dng import write_dng as write_every_dng
from rawkd.photo import CFAPattern, RawPhoto, Rect

GAIN, READ_VARIANCE = 1.5e-3, 2.5e-6
BLACK, WHITE = 512, 16383
CELLS = {"bayer": CFAPattern.RGGB, "xtrans": CFAPattern.XTRANS, "mono": CFAPattern.MONO}


def noisy_mosaic(megapixels: float) -> np.ndarray:
    """A noisy mosaic, (H, W) uint16 of aspect 3:2, made strip by strip."""
    height = int((megapixels * 1e6 / 1.5) ** 0.5) // 2 * 2
    width = int(height * 1.5) // 2 * 2
    rng = np.random.default_rng(1)
    out = np.empty((height, width), np.uint16)
    x = np.arange(width, dtype=np.float32)[None, :] / width
    for top in range(0, height, 256):
        y = np.arange(top, min(top + 256, height), dtype=np.float32)[:, None] / height
        clean = (
            0.05
            + 0.3 * x
            + 0.1 * np.sin(400 * x * y)
            + 0.2 * (((x * 12) % 1 - 0.5) ** 2 + ((y * 8) % 1 - 0.5) ** 2 < 0.1)
        )
        noisy = clean + np.sqrt(GAIN * np.maximum(clean, 0) + READ_VARIANCE) * rng.standard_normal(
            clean.shape, np.float32
        )
        out[top : top + len(y)] = np.clip(np.rint(noisy * (WHITE - BLACK) + BLACK), 0, WHITE)
    return out


def photo_of(frame: np.ndarray, pattern: CFAPattern) -> RawPhoto:
    """A photo of another kind of sensor with this frame, every pixel active."""
    whole = Rect(0, 0, *frame.shape)
    return replace(scene_photo(pattern, Rect(0, 0, 60, 60)), frame=frame, active_area=whole, default_crop=whole)


def resident_mib(root: int) -> float:
    """Resident memory of a process and its descendants, MiB."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                pages[int(folder.name)] = int((folder / "statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            parents[int(folder.name)] = int(stat[1])
    family = {root}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(pages.get(pid, 0) for pid in family) * 4096 / 2**20


@without_traceback
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--ensemble", default="1")
    parser.add_argument("--format", default="dng")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads")
    parser.add_argument("--model")
    parser.add_argument("--cfa", choices=CELLS, default="bayer")
    parser.add_argument("--compressed", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame = noisy_mosaic(options.megapixels)
        if options.cfa == "bayer" and not options.compressed:
            write_dng(folder / "photo.dng", frame)
        else:
            write_every_dng(
                folder / "photo.dng", photo_of(frame, CELLS[options.cfa]), preview=None, software="benchmark"
            )
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        command = [sys.executable, "-m", "rawkd", "denoise", str(folder / "photo.dng"), "--format", options.format]
        command += ["--ensemble", options.ensemble, "--noise", f"{GAIN},{READ_VARIANCE}", "--json", "--overwrite", "-q"]
        command += ["--threads", options.threads] if options.threads else []
        command += ["--model", options.model] if options.model else []
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        walls, peaks, steps = [], [], []
        for _ in range(options.runs):
            began = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
            peak = 0.0
            while process.poll() is None:
                peak = max(peak, resident_mib(process.pid))
                time.sleep(0.02)
            walls.append(time.monotonic() - began)
            peaks.append(peak)
            steps.append(json.loads(process.stdout.read())["seconds"])  # type: ignore[union-attr]
    best = min(range(len(walls)), key=walls.__getitem__)
    print(f"{options.megapixels:g} MP, ensemble {options.ensemble}, {options.format}; disk cache warm (one run before)")
    print(f"wall: best {min(walls):.2f} s, median {statistics.median(walls):.2f} s")
    print("steps of the best: " + ", ".join(f"{name} {value:.2f}" for name, value in steps[best].items()))
    print(f"peak memory {max(peaks):.0f} MiB")


if __name__ == "__main__":
    main()
