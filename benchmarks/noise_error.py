"""Compare noise parameters estimated from the pixels with the true ones.

    python benchmarks/noise_error.py CASES

`../shared/bench/make_cases.py` (not part of the repository) writes CASES: noisy DNGs, and `cases.json` with the true
gain and read variance. Prints for each gain, in octaves (log2 of estimated over true): median error and bias of the
gain, and the share of cases off by more than a factor of 1.3 and of 2; the same for the variance at the median signal
of the picture; and how often the result is off by more than 1.3 when the NoiseProfile is true or four times too high.
Then prints the seconds that an estimate takes on 24 megapixels.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from script_errors import without_traceback

from rawkd.files.read.raw import read_raw
from rawkd.photo import CFAPattern, Mosaic, RawPhoto
from rawkd.sensor.blind.estimate import estimate_noise
from rawkd.sensor.choose_noise import noise_model_of

CLOSE = np.log2(1.3)


def errors_of(photo: RawPhoto, gain: float, read_variance: float) -> dict[str, float]:
    """Errors of one case, in octaves."""
    level = max(float(np.median(photo.mosaic.data)), 0.0)
    true_variance = gain * level + read_variance

    def octaves(profile: tuple[float, ...], source: str) -> tuple[float, float, float]:
        noise, _ = noise_model_of(replace(photo, noise_profile=profile), source=source)
        variance = noise.green_gain * level + noise.green_read_variance
        return float(np.log2(noise.green_gain / gain)), float(np.log2(variance / true_variance)), noise.confidence

    blind_gain, blind_variance, confidence = octaves((), "blind")
    return {
        "gain": blind_gain,
        "variance": blind_variance,
        "confidence": confidence,
        "true tag": octaves((gain, read_variance), "auto")[1],
        "fourfold tag": octaves((4 * gain, 4 * read_variance), "auto")[1],
    }


def print_table(rows: dict[float, list[dict[str, float]]]) -> None:
    print("        | gain, octaves             | variance, octaves    | confi- | beyond 1.3 with a")
    print("gain    | median  bias  >1.3   >2  | median  bias  >1.3   | dence  | true tag  4-fold tag")
    for gain in sorted(rows):
        column = {name: np.array([row[name] for row in rows[gain]]) for name in rows[gain][0]}
        twice = 100 * np.mean(np.abs(column["gain"]) > 1)
        beyond = {name: 100 * np.mean(np.abs(values) > CLOSE) for name, values in column.items()}
        typical = {name: np.median(np.abs(values)) for name, values in column.items()}
        bias = {name: np.median(values) for name, values in column.items()}
        cells = (
            f"{gain:.1e}",
            f"{typical['gain']:.3f} {bias['gain']:+.3f} {beyond['gain']:4.0f}% {twice:4.0f}%",
            f"{typical['variance']:.3f} {bias['variance']:+.3f} {beyond['variance']:4.0f}%",
            f"{typical['confidence']:.2f}",
            f"{beyond['true tag']:4.0f}%  {beyond['fourfold tag']:4.0f}%",
        )
        print(" |  ".join(cells))


def seconds_at_24_mp() -> float:
    """Seconds of one estimate on 4000 x 6000 pixels of smooth areas and texture."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:4000, 0:6000].astype(np.float32)
    clean = 0.05 + 0.3 * columns / 6000 + 0.03 * np.sin(rows / 5) * (rows > 2000)
    noisy = clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.sqrt(1e-3 * clean + 1e-6)
    mosaic = Mosaic(noisy, CFAPattern.GBRG)
    started = time.perf_counter()
    estimate_noise(mosaic, saturation=1.0, floor=-0.03)
    return time.perf_counter() - started


@without_traceback
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="folder written by make_cases.py")
    arguments = parser.parse_args()
    rows: dict[float, list[dict[str, float]]] = defaultdict(list)
    for case in json.loads((arguments.cases / "cases.json").read_text()):
        photo = read_raw(arguments.cases / case["dng"])
        rows[case["gain"]].append(errors_of(photo, case["gain"], case["read_variance"]))
    print_table(rows)
    print(f"24 MP: {seconds_at_24_mp():.2f} s")


if __name__ == "__main__":
    main()
