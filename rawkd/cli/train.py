"""`rawkd train`: train one student of a recipe (hidden: most users never train)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.exit_codes import OK
from rawkd.errors import UsageError

if TYPE_CHECKING:
    from rawkd.training.loop import Progress

PATH = click.Path(path_type=Path)


@click.command("train")
@click.option("--recipe", "recipe_name", required=True, metavar="NAME", help="A recipe of rawkd/training/recipes.py.")
@click.option("--subrange", required=True, type=int, metavar="I", help="Which student, 0 for the lowest gains.")
@click.option("--data", "folders", multiple=True, type=PATH, help="Folder of clean pictures; repeatable.")
@click.option("--steps", type=click.IntRange(1), help="Another number of steps than the recipe's.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after; the same command resumes.")
@click.option("--out", "folder", required=True, type=PATH, help="Folder of the run.")
@click.option("--start-from", type=PATH, help="Folder of a run whose weights to begin with.")
@click.option("--device", default="cpu", show_default=True, help="A torch device: cpu, cuda, mps.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that make the data.")
@click.option("--validate-every", type=click.IntRange(1), default=1000, show_default=True, help="Steps in between.")
@click.option("--vgg16", type=PATH, help="torchvision's VGG16 state dict, for perceptual losses.")
def train_command(
    recipe_name: str,
    subrange: int,
    folders: tuple[Path, ...],
    steps: int | None,
    minutes: float | None,
    folder: Path,
    start_from: Path | None,
    device: str,
    threads: int | None,
    workers: int,
    validate_every: int,
    vgg16: Path | None,
) -> int:
    """Train one student, or resume its training."""
    require_torch()
    from rawkd.training.clean import CleanSet, find_pictures
    from rawkd.training.loop import Run, train
    from rawkd.training.losses import build_losses
    from rawkd.training.processes import rank_in_environment
    from rawkd.training.recipes import recipe_named
    from rawkd.training.strategies.supervised import Supervised

    recipe = recipe_named(recipe_name)
    recipe.subrange(subrange)
    if steps is not None:
        recipe = recipe.with_steps(steps)
    if not folders and recipe.leaves < 1:
        raise UsageError(f"recipe {recipe.name} needs pictures: name their folder with --data")
    speaks = rank_in_environment() == 0
    pictures: tuple[CleanSet | None, CleanSet | None] = (None, None)
    if folders:
        training, held_out = find_pictures(list(folders), 2 * recipe.crop_px)
        pictures = training, held_out
        for line in dict.fromkeys(training.skipped + held_out.skipped) if speaks else ():
            click.echo(f"skipped {line}", err=True)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, device, threads, workers, validate_every, minutes)
    with shown_progress(f"{recipe.name} {subrange}", seen=speaks) as listen:
        train(
            recipe,
            subrange,
            pictures,
            lambda where: Supervised(build_losses(recipe.losses, vgg16, where)),
            run,
            start_from=start_from,
            listen=listen,
        )
    if speaks:
        click.echo(str(folder))
    return OK


def require_torch() -> None:
    """Raise UsageError where the extra is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UsageError("training needs PyTorch: install rawkd[torch]")


@contextmanager
def shown_progress(label: str, *, seen: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar with the time left where stderr is a terminal; a line at every validation there and elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, quiet=not seen)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)

        def listen(progress: Progress) -> None:
            bar.update(task, total=progress.steps, completed=progress.step)
            if "val_psnr_gain_db" in progress.values:
                text = "  ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
                console.print(f"step {progress.step}/{progress.steps}  {text}", highlight=False, soft_wrap=True)

        yield listen
