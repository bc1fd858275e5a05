"""The program `rawkd`: its commands, imported when they are called, and the exit code of every run."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from shlex import quote
from types import FrameType

import click

from rawkd import __version__
from rawkd.cli.console import Console, code_with_results, to_stderr
from rawkd.cli.exit_codes import INTERRUPTED, OK
from rawkd.cli.option_values import refuse_empty
from rawkd.files.naming import RAW_SUFFIXES


@dataclass(frozen=True)
class LazyCommand:
    """A command that is imported when it is called.

    Attributes
    ----------
    name : as it is typed; also the name of the function in `module`, with the suffix `_command`.
    module : where it is defined. summary : its line in `rawkd --help`. hidden : whether that line is left out.
    """

    name: str
    module: str
    summary: str
    hidden: bool = False


COMMANDS = (
    LazyCommand("denoise", "rawkd.cli.denoise", "Denoise raw photos, to a DNG or a rendered picture."),
    LazyCommand("batch", "rawkd.cli.batch.command", "Denoise folders of raw photos, several at a time."),
    LazyCommand("inspect", "rawkd.cli.inspect.command", "Show what is known about raw photos and their noise."),
    LazyCommand("compare", "rawkd.cli.compare", "Show a photo before and after, as one page."),
    LazyCommand("bench", "rawkd.cli.bench.command", "Score models on a data set by the set's own rules."),
    LazyCommand("calibrate", "rawkd.cli.calibrate", "Measure the noise of a camera from bursts of a still scene."),
    LazyCommand("verify", "rawkd.cli.verify", "Check DNGs of an archive against their digests."),
    LazyCommand("integrate", "rawkd.cli.integrate", "Use rawkd from darktable, Lightroom or the file manager."),
    LazyCommand("models", "rawkd.cli.models", "List the installed models."),
    LazyCommand("train", "rawkd.cli.training.train", "Train one student of a recipe.", hidden=True),
    LazyCommand("distill", "rawkd.cli.training.distill", "Train one student by a teacher.", hidden=True),
    LazyCommand("search", "rawkd.cli.training.search", "Find a siamese network under a budget.", hidden=True),
    LazyCommand("export", "rawkd.cli.training.export", "Write a model directory from a run.", hidden=True),
)
"""Every command, in the order of the help. A new command is one file in rawkd/cli and one line here."""


def _with_verbose(command: click.Command) -> click.Command:
    """Add the option that prints tracebacks, which `sentence_of` names, to a command or its commands that lack it."""
    if isinstance(command, click.Group):
        for member in command.commands.values():
            _with_verbose(member)
    elif not any("-v" in parameter.opts for parameter in command.params):
        command.params.append(
            click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, help="Print tracebacks of errors.")
        )
    return command


class LazyGroup(click.Group):
    """A group whose help needs none of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse empty arguments of all commands, before any of them is parsed."""
        refuse_empty(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of all commands, hidden ones included, in the order of the help."""
        return [command.name for command in COMMANDS]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names, or say what was probably meant."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and name not in self.list_commands(ctx):
            raise click.UsageError(f"No such command {name!r}.{_probably(name)}", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command."""
        for command in COMMANDS:
            if command.name == cmd_name:
                loaded = getattr(import_module(command.module), f"{cmd_name}_command")
                if not isinstance(loaded, click.Command):
                    raise TypeError(f"{command.module} defines no command {cmd_name}")
                return _with_verbose(loaded)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the summaries without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(command.name, command.summary) for command in COMMANDS if not command.hidden])


def _probably(name: str) -> str:
    """Return a sentence about the command that was probably meant, after a space; empty if none is likely."""
    if os.path.isdir(name):  # noqa: PTH112 -- Path.is_dir raises for a name too long
        return f" To denoise a folder: rawkd batch {quote(name)} -o clean/"
    if os.path.isfile(name) or Path(name).suffix.lower() in RAW_SUFFIXES:  # noqa: PTH113 -- as above
        return f" To denoise it: rawkd denoise {quote(name)}"
    similar = get_close_matches(name, [command.name for command in COMMANDS], n=1)
    return f" Did you mean {similar[0]!r}?" if similar else ""


HELP = """Denoise raw photos on a plain CPU, offline.

\b
rawkd denoise photo.dng              write photo-denoised.dng
rawkd denoise photo.nef -o photo.jpg write a rendered picture
rawkd batch shoot/ -o clean/         denoise a whole folder
rawkd inspect photo.nef              show camera, exposure and noise
"""
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Variables that numpy's BLAS reads when numpy is imported: OpenBLAS, or Accelerate on macOS. Our matrices are too
small for several threads, and those of OpenBLAS stay busy for 30 ms after each product, on cores that others need."""
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=LazyGroup, help=HELP, context_settings=CONTEXT)
@click.version_option(__version__, message="rawkd %(version)s")
def app() -> None:
    """Run one of the commands."""


@app.result_callback()
def _finished(code: object) -> int:
    """Return the exit code of a command that has ended without an exception."""
    return code_with_results(code if isinstance(code, int) else OK)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code; see `rawkd.cli.exit_codes`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")
    before = {number: signal.signal(number, _interrupt) for number in _signals_of_end()}
    try:
        outcome = app.main(args=arguments, prog_name="rawkd", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        told = str(error.__cause__ or error)  # click raises its Abort from the interrupt
        to_stderr(f"interrupted; {told or 'no partial file was left behind'}")
        return INTERRUPTED
    except Exception as error:  # the end of every run: the code and one sentence instead of a traceback
        is_verbose = any(re.fullmatch(r"--verbose|-[a-zA-Z]*v", argument) for argument in arguments)
        return Console(verbosity=int(is_verbose)).fail(error)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return outcome if isinstance(outcome, int) else OK


def _signals_of_end() -> list[signal.Signals]:
    """Signals that end the run: SIGTERM, and SIGHUP of a terminal or ssh that was lost, unless `nohup` ignores it."""
    hang_up = getattr(signal, "SIGHUP", None)  # not on Windows
    hears = hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN
    return [signal.SIGTERM, hang_up] if hang_up is not None and hears else [signal.SIGTERM]


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """End on such a signal as on Ctrl-C, so that temporary files are removed and the report is written."""
    raise KeyboardInterrupt
