"""What `train` and `distill` share: their options, and the run itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rawkd.cli.option_groups import gathered
from rawkd.errors import OutputError, UsageError

if TYPE_CHECKING:
    from rawkd.training.config import Recipe
    from rawkd.training.data.clean import CleanSet
    from rawkd.training.run.learner import MakeStrategy
    from rawkd.training.run.loop import Progress, Run

PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class TrainingChoices:
    """What was chosen of the options that `train` and `distill` share, as click gives it."""

    asked_subrange: int | None
    noise_model: str | None
    sigma: tuple[float, float] | None
    folders: tuple[Path, ...]
    steps: int | None
    batch: int | None
    minutes: float | None
    folder: Path
    start_from: str | None
    device: str
    threads: int | None
    workers: int
    validate_every: int
    compiled: bool
    vgg16: Path | None
    snapshot: Path | None

    @property
    def subrange(self) -> int:
        """Which student of the recipe; where there is but one, it need not be asked for."""
        return self.asked_subrange or 0

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name with the noise, steps and crops that were asked for.

        Raises
        ------
        UsageError: if it does not exist, lacks the subrange or pictures, or has another kind of noise.
        """
        from rawkd.training.recipes import recipe_named

        recipe = recipe_named(name)
        if self.asked_subrange is None and recipe.num_subranges > 1:
            last = recipe.num_subranges - 1
            raise UsageError(f"recipe {recipe.name} has subranges 0 to {last}: choose one with --subrange")
        recipe.subrange(self.subrange)
        if self.noise_model is not None:
            recipe = recipe.with_noise_model(self.noise_model)
        if self.sigma is not None:
            recipe = recipe.with_sigma(*self.sigma)
        if self.steps is not None:
            recipe = recipe.with_steps(self.steps)
        if self.batch is not None:
            recipe = replace(recipe, batch=self.batch)
        if not self.folders and recipe.leaves < 1:
            raise UsageError(f"recipe {recipe.name} needs pictures: name their folder with --data")
        return recipe


def _sigma(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, float] | None:
    """50, or 5-55 for a range, white being 255."""
    if value is None:
        return None
    low, dash, high = value.partition("-")
    try:
        return float(low), float(high if dash else low)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no sigma such as 50, nor a range such as 5-55", ctx, param) from None


_OPTIONS = (
    click.option(
        "--subrange",
        "asked_subrange",
        type=int,
        metavar="I",
        help="Which student, 0 for the lowest gains; needless where there is one.",
    ),
    click.option(
        "--noise-model",
        type=click.Choice(["poisson-gaussian", "eld", "awgn"]),
        help="Another noise of the sensor than the recipe's; awgn: of recipes for finished pictures alone.",
    ),
    click.option(
        "--sigma",
        metavar="S|LOW-HIGH",
        callback=_sigma,
        help="Standard deviation of white Gaussian noise, white being 255; for recipes of finished pictures.",
    ),
    click.option("--data", "folders", multiple=True, type=PATH, help="Folder of clean pictures; repeatable."),
    click.option("--steps", type=click.IntRange(1), help="Another number of steps than the recipe's."),
    click.option("--batch", type=click.IntRange(1), help="Another number of crops a step than the recipe's."),
    click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after; the same command resumes."),
    click.option("--out", "folder", required=True, type=PATH, help="Folder of the run."),
    click.option("--start-from", metavar="NAME|DIR", help="Shipped model, or folder of a model or run, to begin with."),
    click.option("--device", default="cpu", show_default=True, help="A torch device: cpu, cuda, mps."),
    click.option("--threads", type=click.IntRange(1), help="CPU threads."),
    click.option(
        "--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that make the data."
    ),
    click.option("--validate-every", type=click.IntRange(1), default=1000, show_default=True, help="Steps in between."),
    click.option("--compile", "compiled", is_flag=True, help="Compile the network, if torch proves to do it right."),
    click.option("--vgg16", type=PATH, help="torchvision's VGG16 state dict, for perceptual losses."),
    click.option("--snapshot", type=PATH, help="Write the averaged weights in fp16 there at every validation."),
)


training_options = gathered("choices", _OPTIONS, (field.name for field in fields(TrainingChoices)), TrainingChoices)
"""Give a command all options of a training run; it receives them as one argument `choices`."""


def run_training(
    recipe: Recipe,
    choices: TrainingChoices,
    make_strategy: MakeStrategy,
    distillation: dict[str, Any] | None = None,
) -> None:
    """Train or resume, tell of the progress, and print the run's folder.

    Parameters
    ----------
    make_strategy : on a device, for the student. distillation : what a resumed run must agree in besides.
    """
    from rawkd.training.run.loop import train

    pictures, run = training_pictures(choices, (recipe,)), prepared_run(choices)
    with shown_progress(recipe.student_name(choices.subrange), seen=speaks()) as listen:
        train(
            recipe,
            choices.subrange,
            pictures,
            make_strategy,
            run,
            start_from=choices.start_from,
            distillation=distillation,
            listen=listen,
            warn=lambda text: click.echo(f"warning: {text}", err=True),
        )
    if speaks():
        click.echo(str(choices.folder))


def speaks() -> bool:
    """Whether this process tells of the run: the first of those that `torchrun` started."""
    from rawkd.training.run.distributed import rank_in_environment

    return rank_in_environment() == 0


def training_pictures(choices: TrainingChoices, recipes: tuple[Recipe, ...]) -> tuple[CleanSet | None, CleanSet | None]:
    """Training and held-out pictures that are large enough for the crops of all recipes, (None, None) for leaves alone.

    Raises
    ------
    InputError: as `find_pictures`.
    """
    from rawkd.training.data.clean import find_pictures

    if not choices.folders:
        return None, None
    side_px = max(recipe.crop_side_px for recipe in recipes)
    raw = all(recipe.input == "planes" for recipe in recipes)
    training, held_out = find_pictures(list(choices.folders), side_px, raw=raw)
    for line in training.skipped if speaks() else ():
        click.echo(f"skipped {line}", err=True)
    return training, held_out


def prepared_run(choices: TrainingChoices) -> Run:
    """Where and how long to train; the folder is there, and the device.

    Raises
    ------
    UsageError: if torch has no such device. OutputError: if the folder cannot be made.
    """
    from rawkd.training.run.distributed import refuse_unknown_device
    from rawkd.training.run.loop import Run

    refuse_unknown_device(choices.device)
    try:
        choices.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{choices.folder}: cannot be made ({error.strerror}): give another --out") from error
    return Run(
        choices.folder,
        choices.device,
        choices.threads,
        choices.workers,
        choices.validate_every,
        choices.minutes,
        choices.compiled,
        choices.snapshot,
    )


@contextmanager
def announced_progress(label: str) -> Iterator[Callable[[Progress], None]]:
    """As `shown_progress`, for one of several trainings: its label stands in a line before it."""
    if speaks():
        click.echo(label, err=True)
    with shown_progress(label, seen=speaks()) as listen:
        yield listen


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
