"""`rawkd export`: a finished run becomes a model directory (hidden)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click

from rawkd.cli.console import print_result
from rawkd.cli.exit_codes import OK
from rawkd.cli.options import OVERWRITE
from rawkd.cli.training.run import require_torch


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data",
    "folders",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Read the pictures of the training from this folder; repeatable.",
)
@click.option("--family", help="Name the family.  [default: as the recipe]")
@click.option(
    "--models",
    default=Path("models"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Write the model below this folder.",
)
@click.option("--licence", default="Apache-2.0", show_default=True, help="State the licence of the weights.")
@click.option("--hardware", default="2 CPU cores", show_default=True, help="State the kind of machine that trained it.")
@click.option(
    "--role", type=click.Choice(["student", "teacher"]), default="student", show_default=True, help="State the role."
)
@click.option("--tier", type=click.Choice(["fast", "balanced", "best"]), help="Ship the family as this tier.")
@click.option("--half", is_flag=True, help="Write fp16 shards, and large 3x3 kernels as int8; teachers always are.")
@OVERWRITE
def export_command(
    run: Path,
    folders: tuple[Path, ...],
    family: str | None,
    models: Path,
    licence: str,
    hardware: str,
    role: str,
    tier: str | None,
    half: bool,
    overwrite: bool,
) -> int:
    """Write models/FAMILY-I/ or models/teacher-FAMILY/ from a run: weights, ONNX, card, README; checked.

    Of a run with white Gaussian noise on pictures, I is its sigma.
    """
    require_torch()
    from rawkd.training.data.clean import find_pictures
    from rawkd.training.export.export import checkpoint_of, export
    from rawkd.training.export.measures import CROP_MOSAIC_PX, CROP_PX, unlearnt
    from rawkd.training.saved.provenance import Provenance, data_of, today

    _, recipe = checkpoint_of(run)
    of_mosaics = recipe.input == "planes"
    with_raws = of_mosaics and recipe.cfa == "bayer"
    training, held_out = find_pictures(list(folders), recipe.crop_side_px, raw=with_raws)
    rows = data_of(run, held_out, training)
    measured_px = CROP_MOSAIC_PX if of_mosaics else CROP_PX
    large = training, held_out
    if measured_px > recipe.crop_side_px:
        large = find_pictures(list(folders), measured_px, raw=with_raws)
    held_out = unlearnt(run, *large)
    family = family or recipe.name.removeprefix("teacher-")
    provenance = Provenance(family, licence, _commit(), rows, today(), hardware)
    half = half or role == "teacher"
    model = export(
        run, models, held_out, provenance, role=role, tier=tier, half=half, pictures=training, overwrite=overwrite
    )
    print_result(str(model))
    return OK


def _commit() -> str:
    """The commit of the checkout, or "unknown" outside one and without git."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607
            cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"
