"""Messages on stderr: lines, warnings, errors, progress bars; and results on stdout."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from rawkd.cli.exit_codes import FAILED, OK, OUTPUT, exit_code_of
from rawkd.errors import UsageError, sentence_of

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as Bar

GONE = {errno.EPIPE, errno.EINVAL} if os.name == "nt" else {errno.EPIPE}
"""Errors of a pipe whose reader has ended; Windows has two (python/cpython#79935)."""
LOST = "rawkd.cli.console.lost"
"""Key in click's context: stdout could not be written."""
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
            to_stderr(text)

    def detail(self, text: str) -> None:
        """Print a line if `-v` was given."""
        if self.verbosity > 0:
            to_stderr(text)

    def warn(self, photo: Path, warnings: tuple[str, ...]) -> None:
        """Print one line a warning."""
        for warning in warnings:
            self.say(_coloured(one_line(f"warning: {photo.name}: {warning}"), "yellow"))

    def fail(self, error: Exception, photo: Path | None = None) -> int:
        """Print an error as one sentence, and with `-v` its traceback; return its exit code."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, FileNotFoundError) and error.filename is None and _is_folder_gone():
            error, photo = UsageError("the current folder was deleted: change to another one"), None
        to_stderr(_coloured(one_line(f"error: {sentence_of(error, photo)}"), "red"))
        self.detail(trace)
        return exit_code_of(error)

    def error(self, head: str, text: str) -> None:
        """Print an error whatever the verbosity; the head is coloured."""
        to_stderr(_coloured(head.strip(), "red") + f" {text}")

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
        bar = Bar(*columns, console=RichConsole(stderr=True), transient=True)
        task = bar.add_task(label, total=1.0)
        bar.start()
        try:
            yield lambda part: bar.update(task, completed=part)
        finally:
            stop_bar(bar)


def stop_bar(bar: Bar) -> None:
    """End a bar; a terminal that was lost meanwhile is no error, since the run is ending for that."""
    with suppress(OSError):
        bar.stop()


def print_result(text: str | bytes, *, nl: bool = True) -> None:
    """Print a line on stdout, and go on without it where that fails: no photo depends on who reads the results.

    A reader that has gone (`| head`) is no error. A full disk is: it is told once, and decides the exit code of a run
    without other errors (`code_with_results`).
    """
    try:
        click.echo(text, nl=nl)
    except OSError as error:
        _discard(sys.stdout)
        if error.errno not in GONE:
            click.get_current_context().meta[LOST] = True
            reason = f"stdout cannot be written ({error.strerror}): free some space, or send it to another place"
            to_stderr(_coloured(f"error: {reason}", "red"))


@contextmanager
def rich_results(plain_width: int) -> Iterator[RichConsole]:
    """Give a console of rich, with `plain_width` columns where stdout is no terminal, for results such as tables."""
    from rich.console import Console as RichConsole

    lines, seen = io.BytesIO(), sys.stdout.isatty()
    # the encoding decides with which characters rich draws
    text = io.TextIOWrapper(lines, encoding=sys.stdout.encoding, newline="\n", write_through=True)
    yield RichConsole(file=text, force_terminal=seen, width=None if seen else plain_width, highlight=False)
    print_result(lines.getvalue().decode(text.encoding), nl=False)


def code_with_results(code: int) -> int:
    """Return the exit code of a run, OUTPUT where it is OK but stdout could not be written."""
    return OUTPUT if code == OK and LOST in click.get_current_context().meta else code


def _is_folder_gone() -> bool:
    """Whether the current folder was deleted."""
    try:
        os.getcwd()  # noqa: PTH109 -- the same call
    except FileNotFoundError:
        return True
    return False


def _discard(stream: TextIO) -> None:
    """Send what a stream still holds, and what is written to it from now on, nowhere."""
    with suppress(OSError):  # without a descriptor
        number = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def one_line(text: str) -> str:
    """Return the text with control characters as escapes, so that a name cannot draw on the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def to_stderr(text: str) -> None:
    """Print a line. While a progress bar is shown, `sys.stderr` is the bar's, which puts the line above it."""
    if sys.stderr is not None:
        try:
            click.echo(text, file=sys.stderr)
        except OSError:  # the exit code and stdout still tell what happened
            _discard(sys.stderr)


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
