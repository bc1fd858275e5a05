"""What the user sees while photos are worked on; everything here goes to stderr."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from rawkd.errors import sentence_of

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Console:
    """How much is said.

    Attributes
    ----------
    verbosity : -1 errors alone, 0 warnings and one line a photo, 1 also details and tracebacks.
    """

    verbosity: int = 0

    def say(self, text: str) -> None:
        """A line for everyone who did not ask for quiet."""
        if self.verbosity >= 0:
            click.echo(text, err=True)

    def detail(self, text: str) -> None:
        """A line for who asked for more."""
        if self.verbosity > 0:
            click.echo(text, err=True)

    def warn(self, photo: Path, warnings: tuple[str, ...]) -> None:
        """One line a warning."""
        for warning in warnings:
            self.say(_coloured(one_line(f"warning: {photo.name}: {warning}"), "yellow"))

    def fail(self, error: Exception, photo: Path | None = None) -> None:
        """One sentence, and the traceback for who asked for more."""
        click.echo(_coloured(one_line(f"error: {sentence_of(error, photo)}"), "red"), err=True)
        self.detail("".join(traceback.format_exception(error)))

    def error(self, head: str, text: str) -> None:
        """A line for everyone; the head is coloured."""
        click.echo(_coloured(head.strip(), "red") + f" {text}", err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """A bar from 0 to 1 where stderr is a terminal, else nothing."""
        if self.verbosity < 0 or not on_terminal():
            yield _unseen
            return
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Bar(*columns, console=RichConsole(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=1.0)
            yield lambda part: bar.update(task, completed=part)


def one_line(text: str) -> str:
    """The text with line ends and the like written as escapes, so that a name cannot draw on the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def on_terminal() -> bool:
    """Whether somebody watches stderr, which a program without a console may not even have."""
    return sys.stderr is not None and sys.stderr.isatty()


def _coloured(text: str, colour: str) -> str:
    """Colour the first word where stderr is a terminal and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or not on_terminal():
        return text
    head, _, rest = text.partition(" ")
    return f"{click.style(head, fg=colour)} {rest}"


def _unseen(_part: float) -> None:
    """Progress that nobody watches."""
