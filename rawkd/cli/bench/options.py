"""Options that several benchmarks share, handed over as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from rawkd.cli.console import Console
from rawkd.cli.options import noise_pair

FILE = click.Path(path_type=Path)
FOLDER = click.argument("folder", metavar="DIR", type=FILE)


@dataclass(frozen=True)
class Settings:
    """What every benchmark is told alike."""

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


def common(command: Callable[..., int]) -> Callable[..., int]:
    """The options of every benchmark, handed over as one value `settings`."""

    @click.option(
        "-m",
        "--method",
        "methods",
        multiple=True,
        metavar="NAME|DIR",
        help="built-in, a tier, a model's name or folder, noisy, bm3d, wavelet, nlm; repeatable; default: built-in.",
    )
    @click.option("-o", "--output", metavar="DIR", type=FILE, help="Folder for report.json, cases.csv and plots.")
    @click.option("--json", "as_json", is_flag=True, help="The whole report as JSON on stdout, instead of a table.")
    @click.option("--no-plots", is_flag=True, help="Leave the plots out.")
    @click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
    @click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N cases.")
    @click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="cpu", show_default=True)
    @click.option("--threads", type=click.IntRange(1), metavar="N", help="CPU threads; default: all.")
    @click.option("--ensemble", type=click.Choice(["1", "2", "4", "8"]), default="1", show_default=True)
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    @functools.wraps(command)
    def wrapped(
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
        **own: Any,
    ) -> int:
        settings = Settings(
            methods=methods or ("built-in",),
            output=output,
            as_json=as_json,
            plots=not no_plots,
            overwrite=overwrite,
            limit=limit,
            device=device,
            threads=threads,
            ensemble=int(ensemble),
            console=Console(verbosity=-int(quiet)),
        )
        return command(settings=settings, **own)

    return wrapped


def noise_options(command: Callable[..., int]) -> Callable[..., int]:
    """The options of benchmarks of raw files, handed over as one value `choice`."""

    @click.option("--noise", metavar="A,B", callback=noise_pair, help="Gain and read variance, if you know them.")
    @click.option(
        "--noise-source",
        type=click.Choice(["auto", "calibration", "profile", "blind", "iso"]),
        default="auto",
        show_default=True,
        help="Where noise parameters come from.",
    )
    @click.option("--calibration", metavar="FILE", type=FILE, help="The camera's calibration file, for its noise.")
    @functools.wraps(command)
    def wrapped(noise: tuple[float, float] | None, noise_source: str, calibration: Path | None, **own: Any) -> int:
        from rawkd.evaluation.datasets.photos import NoiseChoice

        return command(choice=NoiseChoice(noise_source, noise, calibration), **own)

    return wrapped
