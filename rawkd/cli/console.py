"""Messages on stderr: lines, warnings, errors, progress bars."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from rawkd.cli.exit_codes import FAILED, OK
from rawkd.errors import sentence_of

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Console:
    """Prints as much as the user asked for.

    Attributes
    ----------
    verbosity : -1 errors alone, 0 also warnings and one line a photo, 1 also details and tracebacks.
    """

    verbosity: int = 0

    def say(self, text: str) -> None:
        """Print a line unless `-q` was given."""
        if self.verbosity >= 0:
            _to_stderr(text)

    def detail(self, text: str) -> None:
        """Print a line if `-v` was given."""
        if self.verbosity > 0:
            _to_stderr(text)

    def warn(self, photo: Path, warnings: tuple[str, ...]) -> None:
        """Print one line a warning."""
        for warning in warnings:
            self.say(_coloured(one_line(f"warning: {photo.name}: {warning}"), "yellow"))

    def fail(self, error: Exception, photo: Path | None = None) -> None:
        """Print an error as one sentence, and with `-v` its traceback."""
        _to_stderr(_coloured(one_line(f"error: {sentence_of(error, photo)}"), "red"))
        self.detail("".join(traceback.format_exception(error)))

    def error(self, head: str, text: str) -> None:
        """Print an error whatever the verbosity; the head is coloured."""
        _to_stderr(_coloured(head.strip(), "red") + f" {text}")

    def code_of_all(self, codes: list[int]) -> int:
        """Return the exit code of several photos: of one its own; of more 0, or 1 and a line that counts failures."""
        failed = [code for code in codes if code != OK]
        if len(codes) > 1 and failed:
            self.say(f"{len(failed)} of {len(codes)} photos failed")
            return FAILED
        return failed[0] if failed else OK

    @contextmanager
    def progress(self, label: str) -> Iterator[Progress]:
        """Show a bar from 0 to 1 where stderr is a terminal, else nothing."""
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
    """Return the text with control characters as escapes, so that a name cannot draw on the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _to_stderr(text: str) -> None:
    """Print a line. While a progress bar is shown, `sys.stderr` is the bar's, which puts the line above it."""
    if sys.stderr is not None:
        click.echo(text, file=sys.stderr)


def on_terminal() -> bool:
    """Whether stderr is a terminal; a program without a console may have no stderr at all."""
    return sys.stderr is not None and sys.stderr.isatty()


def _coloured(text: str, colour: str) -> str:
    """Colour the first word where stderr is a terminal and NO_COLOR is not set."""
    if os.environ.get("NO_COLOR") or not on_terminal():
        return text
    head, _, rest = text.partition(" ")
    return f"{click.style(head, fg=colour)} {rest}"


def _unseen(_part: float) -> None:
    """Progress that nobody watches."""
