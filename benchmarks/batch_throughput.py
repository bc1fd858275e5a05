"""Measure how much faster a batch is than single calls, and how busy it keeps the cores.

    python benchmarks/batch_throughput.py --model DIR [--photos 6] [--megapixels 6] [--singles 3] [--jobs N]

The script writes one synthetic photo. It times single calls of `rawkd denoise` in fresh processes, as a loop in a shell
runs them, and then one `rawkd batch` of copies. Busy cores: CPU seconds of the batch and its children / (wall seconds
* cores); 1.0 means that every core worked all the time.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from small_photos import noisy_photo  # noqa: E402

from rawkd.files.write.dng import write_dng  # noqa: E402
from rawkd.photo import Tag  # noqa: E402


def timed(arguments: list[str]) -> tuple[float, float]:
    """Wall seconds and CPU seconds of a run of rawkd and its children."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "rawkd", *arguments, "-q"], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begin, cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--photos", type=int, default=6)
    parser.add_argument("--megapixels", type=float, default=6.0)
    parser.add_argument("--singles", type=int, default=3, help="single calls to time")
    parser.add_argument("--jobs", type=int)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    height = int((given.megapixels * 1e6 / 1.5) ** 0.5) // 2 * 2
    photo = noisy_photo(height, height * 3 // 2, iso=1600)
    capture = replace(photo.capture, exif=(Tag(34855, 3, 1, (1600).to_bytes(2, "little")),))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        first = folder / "in" / "0.dng"
        write_dng(first, replace(photo, capture=capture), preview=None, software="b", noise_profile=photo.noise_profile)
        for index in range(1, given.photos):
            first.with_name(f"{index}.dng").hardlink_to(first)
        common = ["--model", given.model]
        timed(["denoise", str(first), "-o", str(folder / "warm.dng"), *common])
        singles = [
            timed(["denoise", str(first), "-o", str(folder / f"single{index}.dng"), *common])
            for index in range(given.singles)
        ]
        jobs = ["--jobs", str(given.jobs)] if given.jobs else []
        wall, cpu = timed(["batch", str(folder / "in"), "-o", str(folder / "out"), *common, *jobs])
    single = sum(wall for wall, _ in singles) / len(singles)
    print(f"load of the machine       {os.getloadavg()[0]:.1f} on {cores} cores")
    print(f"one single call           {single:.2f} s, {sum(cpu for _, cpu in singles) / len(singles):.2f} core-seconds")
    print(f"a photo of the batch      {wall / given.photos:.2f} s, {cpu / given.photos:.2f} core-seconds")
    print(f"batch over single calls   {single / (wall / given.photos):.2f} times as fast (1.3 wanted)")
    print(f"busy cores                {cpu / (wall * cores):.2f} of all (0.85 wanted)")


if __name__ == "__main__":
    main()
