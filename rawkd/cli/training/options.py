"""Options that `train`, `distill` and `search` share."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rawkd.cli.option_groups import gathered
from rawkd.errors import UsageError

if TYPE_CHECKING:
    from rawkd.training.config import Recipe

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
    seed: int | None
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
    precision: str

    @property
    def subrange(self) -> int:
        """Which student of the recipe; where there is but one, it need not be asked for."""
        return self.asked_subrange or 0

    def recipe(self, name: str) -> Recipe:
        """The recipe of that name with the noise, steps, crops and seed that were asked for.

        Raises
        ------
        UsageError: if it does not exist, lacks the subrange or pictures, or has another kind of noise.
        """
        from rawkd.training.recipe_file import recipe_named

        recipe = recipe_named(name)
        if self.asked_subrange is None and recipe.num_subranges > 1:
            last = recipe.num_subranges - 1
            raise UsageError(f"recipe {recipe.name} has subranges 0 to {last}: choose one with --subrange")
        recipe.subrange(self.subrange)
        return self.adjusted(recipe)

    def adjusted(self, recipe: Recipe) -> Recipe:
        """The recipe with the noise, steps, crops and seed that were asked for.

        Raises
        ------
        UsageError: if it lacks pictures, or has another kind of noise.
        """
        if self.noise_model is not None:
            recipe = recipe.with_noise_model(self.noise_model)
        if self.sigma is not None:
            recipe = recipe.with_sigma(*self.sigma)
        if self.steps is not None:
            recipe = recipe.with_steps(self.steps)
        if self.batch is not None:
            recipe = replace(recipe, batch=self.batch)
        if self.seed is not None:
            recipe = replace(recipe, seed=self.seed)
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
        help="Train this student: 0 for the lowest gains; not needed if there is only one.",
    ),
    click.option(
        "--noise-model",
        type=click.Choice(["poisson-gaussian", "eld", "awgn"]),
        help="Replace the recipe's noise; awgn is for recipes of finished pictures only.",
    ),
    click.option(
        "--sigma",
        metavar="S|LOW-HIGH",
        callback=_sigma,
        help="Set the sigma of white Gaussian noise (white is 255); for recipes of finished pictures.",
    ),
    click.option(
        "--data", "folders", multiple=True, type=PATH, help="Read clean pictures from this folder; repeatable."
    ),
    click.option("--steps", type=click.IntRange(1), help="Replace the recipe's number of steps."),
    click.option("--batch", type=click.IntRange(1), help="Replace the recipe's number of crops a step."),
    click.option("--seed", type=click.IntRange(0), help="Replace the recipe's seed: first weights and crops."),
    click.option(
        "--minutes",
        type=click.FloatRange(0, min_open=True),
        help="Stop after this many minutes; the same command resumes.",
    ),
    click.option("--out", "folder", required=True, type=PATH, help="Write the run to this folder."),
    click.option(
        "--start-from", metavar="NAME|DIR", help="Start from a shipped model, or the folder of a model or run."
    ),
    click.option("--device", default="cpu", show_default=True, help="Train on this torch device: cpu, cuda, mps."),
    click.option("--threads", type=click.IntRange(1), help="Use this many CPU threads."),
    click.option(
        "--workers", type=click.IntRange(0), default=0, show_default=True, help="Make the data in this many processes."
    ),
    click.option(
        "--validate-every",
        type=click.IntRange(1),
        default=1000,
        show_default=True,
        help="Validate after every N steps.",
    ),
    click.option("--compile", "compiled", is_flag=True, help="Compile the network if torch computes right gradients."),
    click.option("--vgg16", type=PATH, help="Read torchvision's VGG16 state dict, for perceptual losses."),
    click.option("--snapshot", type=PATH, help="Write the averaged weights in fp16 there at every validation."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "bf16", "f32"]),
        default="auto",
        show_default=True,
        help="Choose the number format of matrix products; auto: that of the checkpoint, else the faster one.",
    ),
)


training_options = gathered("choices", _OPTIONS, (field.name for field in fields(TrainingChoices)), TrainingChoices)
"""Give a command all options of a training run; it receives them as one argument `choices`."""
