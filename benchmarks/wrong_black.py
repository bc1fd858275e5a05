"""Count how often a black level that is too low is found, and how often a right one is suspected.

    python benchmarks/wrong_black.py FOLDER... [--gain 3e-4]... [--offset 0 --offset 0.03]... [--limit N]

FOLDER has clean pictures. They become noisy raws as in `rawkd bench synthetic`, without a NoiseProfile, and their black
level is stated too low by each offset, in parts of the range from black to white. Prints for each gain and offset how
many photos get the warning, and the median of the level found over the true one.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import chain, islice
from pathlib import Path

import numpy as np
from script_errors import without_traceback

from rawkd.errors import NoiseError
from rawkd.evaluation.datasets.photos import NoiseChoice
from rawkd.evaluation.datasets.synthetic import Synthetic, SyntheticOptions
from rawkd.photo import Mosaic, RawPhoto
from rawkd.sensor.blind.estimate import estimate_noise

GAINS, OFFSETS = (5e-5, 3e-4, 1.5e-3, 6e-3), (0.0, 0.03, 0.06)


def vanishes_at(photo: RawPhoto, offset: float) -> float | None:
    """Signal at which the noise vanishes if black is stated too low by `offset`, 0 if nowhere; None if unmeasured."""
    saturation, floor = ((value + offset) / (1 + offset) for value in (photo.levels.saturation, photo.levels.floor))
    shifted = Mosaic(np.float32((photo.mosaic.data + offset) / (1 + offset)), photo.mosaic.pattern)
    try:
        return estimate_noise(shifted, saturation=saturation, floor=floor).vanishes_at or 0.0
    except NoiseError:
        return None


@without_traceback
def main() -> None:
    """Measure and print a line for each gain and offset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--gain", type=float, action="append")
    parser.add_argument("--offset", type=float, action="append")
    parser.add_argument("--limit", type=int, help="number of pictures of each folder")
    options = parser.parse_args()
    gains, offsets = tuple(options.gain or GAINS), tuple(options.offset or OFFSETS)
    plan = SyntheticOptions(gains=gains, tagged="none")
    sets = [Synthetic(folder, plan, NoiseChoice(given=(1e-3, 1e-6))) for folder in options.folders]
    number = options.limit * len(gains) if options.limit else None
    found = defaultdict(list)
    for case in chain.from_iterable(islice(one.cases(), number) for one in sets):
        assert case.photo is not None
        for offset in offsets:
            place = vanishes_at(case.photo, offset)
            if place is not None:
                found[case.gain, offset].append(place)
    for gain in gains:
        for offset in offsets:
            places = np.array(found[gain, offset])
            told = places[places > 0]
            ratio = f", found / true {np.median(told) * (1 + offset) / offset:.2f}" if offset and len(told) else ""
            print(f"gain {gain:g}, offset {offset:g}: warned {len(told)} of {len(places)}{ratio}")


if __name__ == "__main__":
    main()
