"""`rawkd train`: train one student of a recipe (hidden: most users never train)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.exit_codes import OK
from rawkd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rawkd.training.loop import Progress


@click.command("train")
@click.option("--recipe", "recipe_name", required=True, metavar="NAME", help="A recipe of rawkd/training/recipes.py.")
@click.option("--subrange", required=True, type=int, metavar="I", help="Which student of the family, 0 for the lowest gains.")
@click.option("--data", "folders", multiple=True, type=click.Path(path_type=Path), help="Folder of clean pictures; repeatable.")
@click.option("--steps", type=click.IntRange(1), help="Another number of steps than the recipe's.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so long; the same command resumes.")
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--start-from", type=click.Path(path_type=Path), help="Folder of a run whose weights to begin with.")
@click.option("--device", default="cpu", show_default=True, help="A torch device: cpu, cuda, mps.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that synthesise data.")
@click.option("--validate-every", type=click.IntRange(1), default=1000, show_default=True, help="Steps between validations.")
@click.option("--vgg16", type=click.Path(path_type=Path), help="torchvision's VGG16 state dict, for perceptual losses.")
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
    from rawkd.training.losses import build_losses
    from rawkd.training.loop import Run, train
    from rawkd.training.recipes import recipe_named
    from rawkd.training.strategies.supervised import Supervised

    recipe = recipe_named(recipe_name)
    if steps is not None:
        recipe = recipe.with_steps(steps)
    if not folders and recipe.leaves < 1:
        raise UsageError(f"recipe {recipe.name} needs pictures: name their folder with --data")
    pictures: tuple[CleanSet | None, CleanSet | None] = (None, None)
    if folders:
        pictures = find_pictures(list(folders), 2 * recipe.crop_px)
        for line in pictures[0].skipped if pictures[0] else ():
            click.echo(f"skipped {line}", err=True)
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, device, threads, workers, validate_every, minutes)
    with shown_progress(f"{recipe.name} {subrange}") as listen:
        train(
            recipe,
            subrange,
            pictures,
            lambda where: Supervised(build_losses(recipe.losses, vgg16, where)),
            run,
            start_from=start_from,
            listen=listen,
        )
    click.echo(str(folder))
    return OK


def require_torch() -> None:
    """Raise UsageError where the extra is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UsageError("training needs PyTorch: install rawkd[torch]")


class shown_progress:  # noqa: N801 -- reads as a function in a with statement
    """A bar with the time left where stderr is a terminal; a line at every validation elsewhere."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, TextColumn("{task.fields[values]}"), console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task(label, total=None, values="")

    def __enter__(self) -> Callable[[Progress], None]:
        self.bar.start()
        return self.listen

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def listen(self, progress: Progress) -> None:
        """Show a step's values."""
        validated = "val_psnr_gain_db" in progress.values
        text = "  ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
        self.bar.update(self.task, total=progress.steps, completed=progress.step)
        if validated:
            self.bar.update(self.task, values=text)
            line = f"step {progress.step}/{progress.steps}  {text}"
            self.bar.console.print(line, highlight=False, soft_wrap=True)
