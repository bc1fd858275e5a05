"""Options that were given and change nothing, each with a warning that says why."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from rawkd.cli.console import Console

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """Options that have no effect under a condition.

    Attributes
    ----------
    parameters : names of click parameters. when : takes the values of all parameters of the command and
        `output_format`. why : the end of the warning: "because", the reason, and what to do.
    """

    parameters: tuple[str, ...]
    when: Callable[[Values], bool]
    why: str


def _removes_nothing(values: Values) -> bool:
    return values.get("strength") == 0


def _keeps_luma_and_chroma(values: Values) -> bool:
    return values.get("luma") == 0 and values.get("chroma") == 0


def _noise_is_settled(values: Values) -> bool:
    known = values.get("noise") is not None or values.get("calibration") is not None
    return known or values.get("noise_source") in ("calibration", "iso")


def _no_folder(values: Values) -> bool:
    inputs = values.get("inputs", ())
    return all(os.path.isfile(name) for name in inputs)  # noqa: PTH113 -- Path.is_file raises for a name too long


def _prints_only(values: Values) -> bool:
    is_benchmark = "methods" in values or "sigmas" in values
    return is_benchmark and values.get("output") is None and not _scores_nothing(values)


def _scores_nothing(values: Values) -> bool:
    return values.get("cases") is not None


_OF_A_NETWORK = ("ensemble", "model", "models", "rows", "defects", "device")

RULES = (
    Rule(
        ("exposure",),
        lambda values: values.get("output_format") == "dng",
        "because a DNG is not rendered. Add --format tiff, png or jpeg.",
    ),
    Rule(
        ("demosaic",),
        lambda values: values.get("output_format") == "dng" and not values.get("linear"),
        "because a DNG keeps the mosaic. Add --linear, or --format tiff, png or jpeg.",
    ),
    Rule(
        ("jpeg_quality",),
        lambda values: values.get("output_format") not in (None, "jpeg"),
        "because the output is not a JPEG. Add --format jpeg.",
    ),
    Rule(("luma", "chroma", *_OF_A_NETWORK), _removes_nothing, "because --strength 0 removes nothing."),
    Rule(("strength", *_OF_A_NETWORK), _keeps_luma_and_chroma, "because --luma 0 --chroma 0 removes nothing."),
    Rule(
        ("noise_source",),
        lambda values: values.get("noise") is not None,
        "because --noise states the noise. Leave one of them out.",
    ),
    Rule(("per_photo_noise",), _noise_is_settled, "because the noise is not measured in the photos."),
    Rule(("recursive",), _no_folder, "because no folder is given."),
    Rule(("jobs",), lambda values: values.get("cluster") is not None, "because the workers of --cluster decide."),
    Rule(
        ("out",),
        lambda values: bool(values.get("install")),
        "because --install chooses the file. Leave one of them out.",
    ),
    Rule(("overwrite",), lambda values: values.get("plot", "") is None, "because nothing is written without --plot."),
    Rule(
        ("methods", "output", "as_json", "no_plots", "true_noise", "ensemble", "device", "threads"),
        _scores_nothing,
        "because --write-cases scores nothing. Leave one of them out.",
    ),
    Rule(("overwrite",), _prints_only, "because nothing is written without -o."),
    Rule(("no_plots",), _prints_only, "because no plots are drawn without -o."),
)
"""All conditions, each in one place; the first that holds for an option is said."""


def warn_of_options_without_effect(console: Console, output_format: str | None = None) -> None:
    """Print a warning for every option of the command line that changes nothing.

    Call it inside a command: the values are those of click's current context.

    Parameters
    ----------
    output_format : dng | tiff | png | jpeg, where the command writes photos.
    """
    context = click.get_current_context()
    values = context.params | {"output_format": output_format}
    given = {
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }  # fmt: skip
    spelling = {option.name: option.opts[-1] for option in context.command.params}
    warned: set[str] = set()
    for rule in RULES:
        for name in rule.parameters:
            if name in given and name not in warned and rule.when(values):
                warned.add(name)
                console.say(f"warning: {spelling[name]} has no effect {rule.why}")
