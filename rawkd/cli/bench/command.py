"""`rawkd bench`: benchmarks by their own rules; a table, or JSON, on stdout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.bench.awgn import awgn_command
from rawkd.cli.bench.options import FOLDER, Settings, common, noise_options
from rawkd.cli.bench.table import print_results
from rawkd.cli.console import print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_values import PATH

if TYPE_CHECKING:
    from rawkd.evaluation.datasets.case import Benchmark
    from rawkd.evaluation.datasets.photos import NoiseChoice
    from rawkd.photo import Kind


@click.group("bench")
def bench_command() -> None:
    """Score models, the noisy input and classical baselines on a data set by the set's own rules.

    docs/benchmarks.md says how to get each set.
    """


bench_command.add_command(awgn_command)


@bench_command.command("sidd")
@click.option("--noisy", required=True, type=PATH, help="Read ValidationNoisyBlocksRaw.mat.")
@click.option("--gt", required=True, type=PATH, help="Read ValidationGtBlocksRaw.mat.")
@click.option("--scenes", type=PATH, help="Read the names of the scenes, one a line.  [default: the validation set's]")
@common
def sidd_command(settings: Settings, noisy: Path, gt: Path, scenes: Path | None) -> int:
    """Score on the SIDD validation blocks."""
    from rawkd.evaluation.datasets.sidd import SIDD

    return _run(SIDD(noisy, gt, scenes=scenes), settings)


@bench_command.command("siddplus")
@click.option("--noisy", required=True, type=PATH, help="Read siddplus_valid_noisy_raw.mat.")
@click.option("--gt", required=True, type=PATH, help="Read siddplus_valid_gt_raw.mat.")
@click.option("--scenes", type=PATH, help="Read names and CFA phases of the pictures.  [default: the validation set's]")
@common
def siddplus_command(settings: Settings, noisy: Path, gt: Path, scenes: Path | None) -> int:
    """Score on the SIDD+ validation blocks (NTIRE 2020)."""
    from rawkd.evaluation.datasets.sidd import SIDD

    return _run(SIDD(noisy, gt, plus=True, scenes=scenes), settings)


@bench_command.command("dnd")
@FOLDER
@common
def dnd_command(settings: Settings, folder: Path) -> int:
    """Write a submission to the Darmstadt Noise Dataset for each method, to the folder of -o."""
    from rawkd.evaluation.datasets.dnd import DND

    if settings.output is None:
        raise click.UsageError("name the folder for the submission with -o")
    unplotted = replace(settings, plots=False)  # nothing is scored here
    return _run(DND(folder, settings.output, overwrite=settings.overwrite), unplotted)


@bench_command.command("pmrid")
@FOLDER
@common
def pmrid_command(settings: Settings, folder: Path) -> int:
    """Score on the set of PMRID: benchmark.json and raw dumps."""
    from rawkd.evaluation.datasets.pmrid import PMRID

    return _run(PMRID(folder), settings)


@bench_command.command("sid")
@FOLDER
@click.option("--list", "listed", type=PATH, help="Read pairs of file names, one a line.  [default: the test set's]")
@click.option("--full", is_flag=True, help="Score the whole frame (PMN's rule) instead of the centre (ELD's).")
@noise_options
@common
def sid_command(settings: Settings, choice: NoiseChoice, folder: Path, listed: Path | None, full: bool) -> int:
    """Score on See-in-the-Dark, Sony: a folder with short/ and long/."""
    from rawkd.evaluation.datasets.sid_eld import ExposurePairs, find_sid

    return _run(ExposurePairs("sid", find_sid(folder, listed), choice, centre=not full), settings)


@bench_command.command("eld")
@FOLDER
@noise_options
@common
def eld_command(settings: Settings, choice: NoiseChoice, folder: Path) -> int:
    """Score on ELD: a folder of CAMERA/scene-N/IMG_nnnn."""
    from rawkd.evaluation.datasets.sid_eld import ExposurePairs, find_eld

    return _run(ExposurePairs("eld", find_eld(folder), choice, centre=False), settings)


@bench_command.command("pairs")
@FOLDER
@noise_options
@common
def pairs_command(settings: Settings, choice: NoiseChoice, folder: Path) -> int:
    """Score on your own pairs: noisy/X.dng and clean/X.dng, or X-noisy.dng and X-clean.dng."""
    from rawkd.evaluation.datasets.pairs import Pairs

    return _run(Pairs(folder, choice), settings)


@bench_command.command("burst")
@FOLDER
@noise_options
@common
def burst_command(settings: Settings, choice: NoiseChoice, folder: Path) -> int:
    """Score on a burst from a tripod: its first frame against the mean of the others."""
    from rawkd.evaluation.datasets.burst import Burst

    return _run(Burst(folder, choice), settings)


@bench_command.command("synthetic")
@FOLDER
@click.option(
    "--gains", metavar="A,...", help="Add noise of these gains (signal units).  [default: 5e-5,3e-4,1.5e-3,6e-3,2.5e-2]"
)
@click.option(
    "--cfa",
    type=click.Choice(["bayer", "xtrans", "mono"]),
    default="bayer",
    show_default=True,
    help="Make mosaics of this kind of sensor.",
)
@click.option("--phases", metavar="P,...", help="Give the pictures these Bayer phases in turn.  [default: all four]")
@click.option("--seed", type=click.IntRange(0), default=1000, show_default=True, help="Set the seed of the noise.")
@click.option(
    "--side",
    type=click.IntRange(64),
    default=640,
    show_default=True,
    help="Use this many pixels a side, about the centre.",
)
@click.option("--tagged", type=click.Choice(["half", "all", "none"]), default="half", show_default=True,
              help="Choose which pictures have a NoiseProfile.")  # fmt: skip
@click.option("--true-noise", is_flag=True, help="Also score every method with the true noise parameters.")
@click.option(
    "--write-cases",
    "cases",
    metavar="DIR",
    type=PATH,
    help="Write the noisy photos and their truth there, score nothing.",
)
@noise_options
@common
def synthetic_command(
    settings: Settings,
    choice: NoiseChoice,
    folder: Path,
    gains: str | None,
    cfa: Kind,
    phases: str | None,
    seed: int,
    side: int,
    tagged: str,
    true_noise: bool,
    cases: Path | None,
) -> int:
    """Score on clean pictures or raws, made noisy with fixed seeds."""
    from rawkd.evaluation.datasets.synthetic import GAINS, PHASES, PHASES_OF, Synthetic, SyntheticOptions

    if phases is not None and cfa != "bayer":
        raise click.UsageError(f"--phases and --cfa {cfa} contradict each other: leave one out")
    known = {phase.name: phase for phase in PHASES}
    try:
        numbers = GAINS if gains is None else tuple(float(part) for part in gains.split(","))
        patterns = PHASES_OF[cfa] if phases is None else tuple(known[part.upper()] for part in phases.split(","))
    except (ValueError, KeyError) as error:
        raise click.UsageError(f"--gains or --phases: {error}; give numbers or phases with commas between") from error
    options = SyntheticOptions(numbers, patterns, seed, side, tagged, true_noise)
    benchmark = Synthetic(folder, options, choice)
    return _run(benchmark, settings, cfa) if cases is None else _write(benchmark, settings, cases)


def _write(benchmark: Benchmark, settings: Settings, folder: Path) -> int:
    """Write the cases of a benchmark for another program."""
    from rawkd.evaluation.stored_results import write_cases

    for path in write_cases(benchmark, folder, overwrite=settings.overwrite, limit=settings.limit):
        print_result(str(path))
    return OK


def _run(benchmark: Benchmark, settings: Settings, cfa: Kind = "bayer") -> int:
    """Score, print, write. cfa : kind of sensor of the pictures."""
    from rawkd.evaluation.methods import methods_named
    from rawkd.evaluation.report import prepare_folder, results_json, write_results
    from rawkd.evaluation.scoring import run
    from rawkd.restore.options import DenoiseOptions

    console = settings.console
    options = DenoiseOptions(ensemble=settings.ensemble, device=settings.device, threads=settings.threads)
    methods = methods_named(settings.methods, options, cfa)
    if settings.output is not None:
        prepare_folder(settings.output, overwrite=settings.overwrite, plots=settings.plots)
    with console.progress(benchmark.name) as progress:
        results = run(
            benchmark, methods, lambda done, total, _: progress(done / total if total else 0.0), settings.limit
        )
    for line in results.warnings:
        console.say(f"warning: {line}")
    if settings.as_json:
        print_result(json.dumps(json.loads(results_json(results))))
    else:
        print_results(results)
    if settings.output is not None:
        for path in write_results(results, settings.output, overwrite=settings.overwrite, plots=settings.plots):
            console.say(f"wrote {path}")
    return OK
