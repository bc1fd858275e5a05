"""Compare variants of a training, each with a run for every seed: a table, and a plot of the differences.

    python benchmarks/ablation.py LABEL=RUN[,RUN]... --pictures DIR [--gain 1.5e-3]... [--plot FILE]
    python benchmarks/ablation.py LABEL=RUN[,RUN]... --set SET [--sigma 50] [--plot FILE]

RUN is a run, a snapshot or a model; the first variant is what the others are compared with, seed by seed in the order
given, so each needs as many runs. --pictures scores mosaics of whole held-out photos (`held_out.py`: the mean of both
sizes and of the gains that the first network holds, or of --gain), --set finished pictures with white noise
(`white_noise.py`). Prints the mean PSNR in dB with the standard deviation over the seeds, the mean difference with that
of each seed, and the steps and minutes of the last stage of the first run. FILE is a .png or .svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from held_out import GAINS, MeanOfNetworks, clean_planes, mean_psnr
from script_errors import without_traceback
from white_noise import mean_scores

from rawkd.files.write.drawing import Dots, Drawing, Item, Line, Text, write_drawing
from rawkd.training.saved.checkpoint import load_checkpoint

LEFT, RIGHT, WIDTH, TOP, ROW = 230, 24, 720, 44, 30
GRID, ZERO, SEED, MEAN = "#e4e4e4", "#888888", "#2b6cb0", "#c0392b"


@dataclass(frozen=True)
class Variant:
    """A row: what was changed, and the PSNR in dB and the training of the run of every seed."""

    label: str
    psnr: list[float]
    training: str

    def against(self, first: Variant) -> list[float]:
        """Differences to another variant, seed by seed, dB."""
        return [mine - other for mine, other in zip(self.psnr, first.psnr, strict=True)]


def training_of(runs: Sequence[str]) -> str:
    """Steps and minutes of the runs' last stages, of the first run; "" for models."""
    state = load_checkpoint(Path(runs[0])) if Path(runs[0]).is_dir() else None
    return f"{state.step:,} steps, {state.seconds / 60:.0f} min" if state else ""


def of_photos(pictures: Path, gains: Sequence[float], runs: Sequence[str]) -> Callable[[str], float]:
    """How runs for mosaics are scored: on pictures that none of `runs` has learnt."""

    def score(run: str) -> float:
        network = MeanOfNetworks(run)
        clean = clean_planes(pictures, 512, 0, network.cell, runs)
        return fmean(mean_psnr(network, planes, gain) for gain in gains for planes in clean.values())

    return score


def of_set(folder: Path, sigma: float | None) -> Callable[[str], float]:
    """How runs for finished pictures are scored."""
    return lambda run: mean_scores(run, folder, sigma, 1)[1]["psnr_db"]


def table(variants: Sequence[Variant]) -> str:
    """The rows in Markdown."""
    lines = ["| variant | PSNR, dB | against the first, dB (by seed) | training |", "|---|---|---|---|"]
    for variant in variants:
        spread = f" ({stdev(variant.psnr):.3f})" if len(variant.psnr) > 1 else ""
        found = variant.against(variants[0])
        others = f"{fmean(found):+.3f} ({', '.join(f'{value:+.3f}' for value in found)})"
        others = "" if variant is variants[0] else others
        lines.append(f"| {variant.label} | {fmean(variant.psnr):.3f}{spread} | {others} | {variant.training} |")
    return "\n".join(lines)


def plot(title: str, variants: Sequence[Variant]) -> Drawing:
    """A row for each variant: a dot for the difference of each seed, a bar at their mean."""
    rows = [(variant.label, variant.against(variants[0])) for variant in variants]
    values = [value for _, found in rows for value in found]
    margin = 0.1 * (max(values) - min(values)) or 0.01
    low, high = min(values) - margin, max(values) + margin
    bottom = TOP + ROW * len(rows)

    def across(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    step = next(unit for unit in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if (high - low) / unit <= 8)
    items: list[Item] = [Text(12, 20, title, 13)]
    for number in range(int(np.ceil(low / step)), int(high / step) + 1):
        x = across(number * step)
        items.append(Line(np.array([[x, TOP - 8], [x, bottom]]), GRID if number else ZERO))
        items.append(Text(x, bottom + 16, f"{number * step:g}", anchor="middle"))
    items.append(Text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, f"dB above {variants[0].label}", 12, "middle"))
    for row, (label, found) in enumerate(rows):
        middle = TOP + ROW * (row + 0.5)
        mean = across(fmean(found))
        items.append(Text(LEFT - 10, middle + 4, label, 12, "end"))
        items.append(Line(np.array([[mean, middle - 9], [mean, middle + 9]]), MEAN, 3))
        items.append(Dots(np.array([[across(value), middle] for value in found]), SEED, 7))
    return Drawing(WIDTH, bottom + 46, tuple(items))


@without_traceback
def main() -> None:
    """Score, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", metavar="LABEL=RUN[,RUN]")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--pictures", type=Path)
    where.add_argument("--set", dest="folder", type=Path)
    parser.add_argument("--gain", type=float, action="append")
    parser.add_argument("--sigma", type=float)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    if (options.gain and options.folder) or (options.sigma and options.pictures):
        parser.error("--gain is for --pictures, --sigma for --set")
    runs_of = {label: runs.split(",") for label, _, runs in (named.partition("=") for named in options.variants)}
    if len({len(runs) for runs in runs_of.values()}) > 1 or not all(map(all, runs_of.values())):
        parser.error("give LABEL=RUN[,RUN] with as many runs for every label")
    torch.set_num_threads(1)
    if options.pictures:
        first = MeanOfNetworks(next(iter(runs_of.values()))[0])
        gains = options.gain or [gain for gain in GAINS if first.holds(gain)]
        if not gains:
            parser.error("the first network holds none of the usual gains: give --gain")
        score = of_photos(options.pictures, gains, [run for runs in runs_of.values() for run in runs])
    else:
        score = of_set(options.folder, options.sigma)
    variants = [Variant(label, [score(run) for run in runs], training_of(runs)) for label, runs in runs_of.items()]
    print(table(variants))
    if options.plot:
        write_drawing(options.plot, plot(options.title, variants), overwrite=True)


if __name__ == "__main__":
    main()
