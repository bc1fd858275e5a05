"""`rawkd bench awgn`: additive white Gaussian noise on finished pictures, beside the published tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.bench.options import LIMIT, REPORT_JSON
from rawkd.cli.console import Console, print_result, rich_results
from rawkd.cli.exit_codes import OK
from rawkd.cli.option_values import PATH
from rawkd.cli.options import OVERWRITE, QUIET, THREADS, device_option
from rawkd.cli.without_effect import warn_of_options_without_effect

PLAIN_WIDTH = 160
"""Columns where stdout is no terminal."""

if TYPE_CHECKING:
    from rawkd.evaluation.awgn_published import Published
    from rawkd.evaluation.scoring import Results


def _sigmas(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of sigmas such as 15,25,50", ctx, param) from None


@click.command("awgn")
@click.option("--model", "names", multiple=True, required=True, metavar="NAME|DIR",
              help="Score this model of pictures, or a folder of one for each sigma; repeatable.")  # fmt: skip
@click.option(
    "--set", "folder", required=True, metavar="DIR", type=PATH, help="Read clean pictures here: Set12, BSD68, ..."
)
@click.option(
    "--sigma",
    "sigmas",
    required=True,
    metavar="S,...",
    callback=_sigmas,
    help="Add noise of these sigmas (white is 255): 15,25,50.",
)
@click.option("--ensemble", type=click.Choice(["1", "8"]), default="1", show_default=True,
              help="Average 8 flipped and turned copies, the + of the tables.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Set the seed of the noise.")
@click.option("-o", "--output", metavar="DIR", type=PATH, help="Write report.json and cases.csv here.")
@REPORT_JSON
@OVERWRITE
@LIMIT
@device_option("cpu")
@THREADS
@QUIET
def awgn_command(
    names: tuple[str, ...],
    folder: Path,
    sigmas: tuple[float, ...],
    ensemble: str,
    seed: int,
    output: Path | None,
    as_json: bool,
    overwrite: bool,
    limit: int | None,
    device: str,
    threads: int | None,
    quiet: bool,
) -> int:
    """Score on clean pictures with white Gaussian noise, beside the published tables."""
    from rawkd.evaluation.awgn import AwgnOptions, run_awgn
    from rawkd.evaluation.awgn_models import PictureModels
    from rawkd.evaluation.awgn_published import published
    from rawkd.evaluation.awgn_report import awgn_json, write_awgn
    from rawkd.evaluation.report import prepare_folder

    console = Console(verbosity=-int(quiet))
    warn_of_options_without_effect(console)
    options = AwgnOptions(sigmas, seed, limit)
    models = [PictureModels(name, members=int(ensemble), device=device, threads=threads) for name in names]
    if output is not None:
        prepare_folder(output, overwrite=overwrite, plots=False)
    with console.progress("awgn") as progress:
        results = run_awgn(folder, models, options, progress)
    pictures = len({record.case for record in results.records}) // len(sigmas)
    known = published(models[0].kind, folder.resolve().name, pictures, sigmas)
    if as_json:
        print_result(json.dumps(json.loads(awgn_json(results, known))))
    else:
        _print(results, known, sigmas)
    if output is not None:
        for path in write_awgn(results, known, output, overwrite=overwrite):
            console.say(f"wrote {path}")
    return OK


def _print(results: Results, known: Sequence[Published], sigmas: tuple[float, ...]) -> None:
    """Rules and a row a method: ours first, then the published ones."""
    from rich.table import Table

    from rawkd.evaluation.report import summarise

    table = Table(title="awgn: PSNR, dB (SSIM)", title_justify="left")
    for title in ("method", "source"):
        table.add_column(title, no_wrap=True)
    for sigma in sigmas:
        table.add_column(f"sigma {sigma:g}", justify="right", no_wrap=True)
    rows = summarise(results)
    for method in dict.fromkeys(row.method for row in rows):
        means = {row.group: row.mean for row in rows if row.method == method}
        groups = ["all"] if len(sigmas) == 1 else [f"sigma {sigma:g}" for sigma in sigmas]
        table.add_row(method, "ours", *(f"{means[g]['psnr_db']:.2f} ({means[g]['ssim']:.4f})" for g in groups))
    for method in dict.fromkeys(row.method for row in known):
        values = {row.sigma: f"{row.psnr_db:.2f}" for row in known if row.method == method}
        source = next(row.source for row in known if row.method == method)
        table.add_row(method, source, *(values.get(sigma, "-") for sigma in sigmas))
    with rich_results(PLAIN_WIDTH) as out:
        for name, rule in results.rules.items():
            out.print(f"{name}: {rule}", markup=False)
        out.print(table)
        if not known:
            out.print("no published rows for this set, its number of pictures and these sigmas", markup=False)
