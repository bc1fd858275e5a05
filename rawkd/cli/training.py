"""What `train` and `distill` share: their options, and the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rawkd.errors import UsageError

if TYPE_CHECKING:
    import torch

    from rawkd.training.clean import CleanSet
    from rawkd.training.config import Recipe
    from rawkd.training.loop import Progress
    from rawkd.training.strategies import Strategy

PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class TrainingChoices:
    """What was chosen of the options that `train` and `distill` share, as click gives it."""

    subrange: int
    folders: tuple[Path, ...]
    steps: int | None
    batch: int | None
    minutes: float | None
    folder: Path
    start_from: Path | None
    device: str
    threads: int | None
    workers: int
    validate_every: int
    vgg16: Path | None

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name with the steps and crops that were asked for.

        Raises
        ------
        UsageError: if it does not exist, or lacks the subrange or pictures.
        """
        from rawkd.training.recipes import recipe_named

        recipe = recipe_named(name)
        recipe.subrange(self.subrange)
        if self.steps is not None:
            recipe = recipe.with_steps(self.steps)
        if self.batch is not None:
            recipe = replace(recipe, batch=self.batch)
        if not self.folders and recipe.leaves < 1:
            raise UsageError(f"recipe {recipe.name} needs pictures: name their folder with --data")
        return recipe


_OPTIONS = (
    click.option("--subrange", required=True, type=int, metavar="I", help="Which student, 0 for the lowest gains."),
    click.option("--data", "folders", multiple=True, type=PATH, help="Folder of clean pictures; repeatable."),
    click.option("--steps", type=click.IntRange(1), help="Another number of steps than the recipe's."),
    click.option("--batch", type=click.IntRange(1), help="Another number of crops a step than the recipe's."),
    click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after; the same command resumes."),
    click.option("--out", "folder", required=True, type=PATH, help="Folder of the run."),
    click.option("--start-from", type=PATH, help="Folder of a run whose weights to begin with."),
    click.option("--device", default="cpu", show_default=True, help="A torch device: cpu, cuda, mps."),
    click.option("--threads", type=click.IntRange(1), help="CPU threads."),
    click.option(
        "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that make the data."
    ),
    click.option("--validate-every", type=click.IntRange(1), default=1000, show_default=True, help="Steps in between."),
    click.option("--vgg16", type=PATH, help="torchvision's VGG16 state dict, for perceptual losses."),
)


def training_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command all options of a training run; it receives them as one argument `choices`."""
    names = [field.name for field in fields(TrainingChoices)]

    def gathered(*values: Any, **named: Any) -> int:
        choices = TrainingChoices(**{name: named.pop(name) for name in names})
        return command(*values, choices=choices, **named)

    decorated: Callable[..., int] = update_wrapper(gathered, command)
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def run_training(
    recipe: Recipe,
    choices: TrainingChoices,
    make_strategy: Callable[[torch.device], Strategy],
    distillation: dict[str, Any] | None = None,
) -> None:
    """Train or resume, tell of the progress, and print the run's folder.

    Parameters
    ----------
    make_strategy : on a device. distillation : what a resumed run must agree in besides.
    """
    from rawkd.training.clean import find_pictures
    from rawkd.training.loop import Run, train
    from rawkd.training.processes import rank_in_environment

    speaks = rank_in_environment() == 0
    pictures: tuple[CleanSet | None, CleanSet | None] = (None, None)
    if choices.folders:
        training, held_out = find_pictures(list(choices.folders), 2 * recipe.crop_px)
        pictures = training, held_out
        for line in training.skipped if speaks else ():
            click.echo(f"skipped {line}", err=True)
    choices.folder.mkdir(parents=True, exist_ok=True)
    run = Run(choices.folder, choices.device, choices.threads, choices.workers, choices.validate_every, choices.minutes)
    with shown_progress(f"{recipe.name} {choices.subrange}", seen=speaks) as listen:
        train(
            recipe,
            choices.subrange,
            pictures,
            make_strategy,
            run,
            start_from=choices.start_from,
            distillation=distillation,
            listen=listen,
        )
    if speaks:
        click.echo(str(choices.folder))


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
