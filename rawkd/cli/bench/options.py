"""Options that several benchmarks share, handed over as one argument."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.console import Console
from rawkd.cli.option_groups import gathered
from rawkd.cli.option_values import PATH
from rawkd.cli.options import (
    CALIBRATION,
    ENSEMBLE,
    NOISE,
    NOISE_SOURCE,
    OVERWRITE,
    QUIET,
    THREADS,
    device_option,
    json_option,
)
from rawkd.cli.without_effect import warn_of_options_without_effect

if TYPE_CHECKING:
    from rawkd.evaluation.datasets.photos import NoiseChoice

FOLDER = click.argument("folder", metavar="DIR", type=PATH)
LIMIT = click.option("--limit", type=click.IntRange(1), metavar="N", help="Use only the first N cases.")
REPORT_JSON = json_option("the whole report as JSON instead of a table")


@dataclass(frozen=True)
class Settings:
    """Values of the options that every benchmark of raw photos has.

    Attributes
    ----------
    methods : names of methods, as `rawkd.evaluation.methods.methods_named` takes them.
    output : folder of report.json, cases.csv and plots, or None. plots : whether plots are drawn.
    limit : number of cases, None for all. ensemble : copies that are averaged.
    """

    methods: tuple[str, ...]
    output: Path | None
    as_json: bool
    plots: bool
    overwrite: bool
    limit: int | None
    device: str
    threads: int | None
    ensemble: int
    console: Console


def _settings(
    *,
    methods: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    no_plots: bool,
    overwrite: bool,
    limit: int | None,
    device: str,
    threads: int | None,
    ensemble: str,
    quiet: bool,
) -> Settings:
    console = Console(verbosity=-int(quiet))
    warn_of_options_without_effect(console)  # before the folder of the set is looked into
    return Settings(
        methods=methods or ("built-in",),
        output=output,
        as_json=as_json,
        plots=not no_plots,
        overwrite=overwrite,
        limit=limit,
        device=device,
        threads=threads,
        ensemble=int(ensemble),
        console=console,
    )


def _noise_choice(
    *, noise: tuple[float, float] | None, noise_source: str, calibration: Path | None
) -> NoiseChoice:  # fmt: skip
    from rawkd.evaluation.datasets.photos import NoiseChoice

    return NoiseChoice(noise_source, noise, calibration)


_COMMON = {
    "methods": click.option(
        "-m",
        "--method",
        "methods",
        multiple=True,
        metavar="NAME|DIR",
        help="Score this: built-in, a tier, a model or its folder, noisy, bm3d, wavelet, nlm, results:DIR; repeatable."
        "  [default: built-in]",
    ),
    "output": click.option("-o", "--output", metavar="DIR", type=PATH, help="Write report.json, cases.csv and plots."),
    "as_json": REPORT_JSON,
    "no_plots": click.option("--no-plots", is_flag=True, help="Leave the plots out."),
    "overwrite": OVERWRITE,
    "limit": LIMIT,
    "device": device_option("cpu"),
    "threads": THREADS,
    "ensemble": ENSEMBLE,
    "quiet": QUIET,
}
_NOISE = {"noise": NOISE, "noise_source": NOISE_SOURCE, "calibration": CALIBRATION}

common = gathered("settings", tuple(_COMMON.values()), _COMMON, _settings)
"""Give a benchmark the options of all benchmarks; it receives them as one argument `settings`."""

noise_options = gathered("choice", tuple(_NOISE.values()), _NOISE, _noise_choice)
"""Give a benchmark of raw files the options about their noise; it receives them as one argument `choice`."""
