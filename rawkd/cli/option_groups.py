"""Groups of options: handed to a command as one argument, and shown as sections of its help."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import update_wrapper
from typing import Any

import click

Command = Callable[..., int]
Decorator = Callable[[Any], Any]


def gathered(argument: str, options: Sequence[Decorator], names: Iterable[str], make: Callable[..., Any]) -> Decorator:
    """Return a decorator that gives a command options, in their order, and their values as one argument.

    Parameters
    ----------
    argument : its name in the command. options : of click. names : of their values. make : takes these by name.
    """
    wanted = tuple(names)

    def decorate(command: Command) -> Command:
        def wrapped(*values: Any, **named: Any) -> int:
            made = make(**{name: named.pop(name) for name in wanted})
            return command(*values, **{argument: made}, **named)

        decorated: Command = update_wrapper(wrapped, command)
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


SECTIONS = {
    "Rendered pictures": ("--demosaic", "--exposure", "--jpeg-quality"),
    "How much noise to remove": ("--model", "--strength", "--luma", "--chroma", "--ensemble"),
    "How the noise is found": ("--noise", "--noise-source", "--calibration", "--per-photo-noise"),
    "Hot pixels and row noise": ("--defects", "--rows"),
    "Speed": ("--device", "--threads", "--jobs", "--cluster"),
    "Messages": ("--json", "--quiet", "--verbose", "--help"),
}
"""Titles of sections in the help of commands with many options, and the options in each."""


class SectionedCommand(click.Command):
    """A command whose help shows options in `SECTIONS`; all others come first, under "Options"."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        rows = {option.opts[-1]: row for option in options if (row := option.get_help_record(ctx)) is not None}
        placed = {name for names in SECTIONS.values() for name in names}
        first = tuple(name for name in rows if name not in placed)
        for title, names in {"Options": first, **SECTIONS}.items():
            shown = [rows[name] for name in names if name in rows]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)
