"""Start one of our child scripts, also from the frozen app, which has no Python beside it, and talk to it by pipes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from rawkd.errors import RawkdError

PIPE_BYTES = 1 << 20
CHILD_OPTION = "--rawkd-child"
"""First argument of the frozen program when it runs a child script; packaging/app.py obeys it."""


def child_command(script: Path, *arguments: str) -> list[str]:
    """Return the command that runs a child script.

    Parameters
    ----------
    script : a file of the package that imports nothing from it and is run as a script. arguments : for the script.
    """
    if getattr(sys, "frozen", False):
        return [sys.executable, CHILD_OPTION, script.stem, *arguments]
    return [sys.executable, "-P", str(script), *arguments]


def pipe_of(stream: IO[bytes] | None, name: str) -> IO[bytes]:
    """Return the pipe of a child process that was started with one.

    Parameters
    ----------
    name : of the child, for the message.

    Raises
    ------
    RawkdError: if there is no pipe.
    """
    if stream is None:
        raise RawkdError(f"{name}'s process has no pipe. Try again.")
    return stream


def widen(stream: IO[bytes]) -> None:
    """Enlarge the buffer of a pipe on Linux; ignore a refusal, since Linux limits their total size per user."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def json_line(answers: IO[bytes]) -> dict[str, Any]:
    """Read one line of JSON, an object.

    Raises
    ------
    EOFError: if the child process has ended, or the line is anything else.
    """
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        header = json.loads(line)
    except ValueError as error:
        raise EOFError from error  # a crash may end in garbage
    if isinstance(header, dict):
        return header
    raise EOFError


@contextmanager
def killed_after(timeout_s: float, child: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill the child if the with-block takes longer than the limit; the event is then set."""
    expired = threading.Event()

    def stop() -> None:
        expired.set()
        child.kill()

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
