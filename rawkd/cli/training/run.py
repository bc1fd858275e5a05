"""The run that `train` and `distill` share: its pictures, its folder, its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rawkd.cli.console import print_result, to_stderr
from rawkd.cli.training.options import TrainingChoices
from rawkd.errors import UsageError

if TYPE_CHECKING:
    from rawkd.training.config import Recipe
    from rawkd.training.data.clean import CleanSet
    from rawkd.training.run.learner import MakeStrategy
    from rawkd.training.run.loop import Progress, Run
    from rawkd.training.saved.checkpoint import Checkpoint


def run_training(
    recipe: Recipe,
    choices: TrainingChoices,
    make_strategy: MakeStrategy,
    distillation: dict[str, Any] | None = None,
    pictures: tuple[CleanSet | None, CleanSet | None] | None = None,
) -> Checkpoint:
    """Train or resume, tell of the progress, print the run's folder, and return its last state.

    Parameters
    ----------
    make_strategy : on a device, for the student. distillation : what a resumed run must agree in besides.
    pictures : training and held-out; None for those of the choices.
    """
    from rawkd.training.run.loop import train

    pictures, run = pictures or training_pictures(choices, (recipe,)), prepared_run(choices)
    with shown_progress(recipe.student_name(choices.subrange), seen=is_main_process()) as listen:
        state = train(
            recipe,
            choices.subrange,
            pictures,
            make_strategy,
            run,
            start_from=choices.start_from,
            distillation=distillation,
            listen=listen,
            warn=warn,
            tell=tell,
        )
    if is_main_process():
        print_result(str(choices.folder))
    return state


def tell(text: str) -> None:
    """Print a line on stderr, in the main process."""
    if is_main_process():
        to_stderr(text)


def warn(text: str) -> None:
    """Print a warning on stderr, in the main process."""
    tell(f"warning: {text}")


def is_main_process() -> bool:
    """Return whether this is the main process, which prints: the first of those that `torchrun` started."""
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
    raw = all(recipe.input == "planes" and recipe.cfa == "bayer" for recipe in recipes)
    training, held_out = find_pictures(list(choices.folders), side_px, raw=raw)
    for line in training.skipped:
        tell(f"skipped {line}")
    if training is held_out:
        warn("there is one usable picture, so validation measures on what the network learns. Add pictures to --data")
    return training, held_out


def prepared_run(choices: TrainingChoices) -> Run:
    """Where and how long to train; the device is there.

    Raises
    ------
    UsageError: if torch has no such device, or as `Run`.
    """
    from rawkd.training.run.distributed import refuse_unknown_device
    from rawkd.training.run.loop import Run

    refuse_unknown_device(choices.device)
    return Run(
        choices.folder,
        choices.device,
        choices.threads,
        choices.workers,
        choices.validate_every,
        choices.minutes,
        choices.compiled,
        choices.snapshot,
        choices.precision,
    )


@contextmanager
def announced_progress(label: str) -> Iterator[Callable[[Progress], None]]:
    """As `shown_progress`, for one of several trainings: its label stands in a line before it."""
    tell(label)
    with shown_progress(label, seen=is_main_process()) as listen:
        yield listen


def require_torch() -> None:
    """Raise UsageError where the extra is not installed."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UsageError("training needs PyTorch: install rawkd[torch]")


@contextmanager
def shown_progress(label: str, *, seen: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar with the time left where stderr is a terminal; a line at every validation there and elsewhere.

    Raises
    ------
    KeyboardInterrupt: with what is lost, of an interrupted training.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True, quiet=not seen)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task, saved = bar.add_task(label, total=None), -1

        def listen(progress: Progress) -> None:
            nonlocal saved
            bar.update(task, total=progress.steps, completed=progress.step)
            saved = progress.step - 1 if saved < 0 else saved
            if "val_psnr_gain_db" in progress.values:
                saved = progress.step
                text = "  ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
                console.print(f"step {progress.step}/{progress.steps}  {text}", highlight=False, soft_wrap=True)

        try:
            yield listen
        except KeyboardInterrupt as error:
            if saved < 0:
                raise
            text = f"the steps after step {saved} are lost, and the same command goes on from there"
            raise KeyboardInterrupt(text) from error
