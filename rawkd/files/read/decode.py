"""Decode raw files with LibRaw in a child process, with a timeout.

A damaged file may crash or hang LibRaw. `Decoder` keeps one child process alive for several files. If a process that
has already decoded other files crashes, the file is tried again in a new process, because an earlier file may be the
cause (our choice).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from rawkd.errors import InputError, MemoryLimitError, RawkdError, UnsupportedRawError
from rawkd.files.child_process import child_command
from rawkd.files.sanity import COPY_AGAIN
from rawkd.photo import FrameArray

CHILD = Path(__file__).with_name("decode_child.py")
PIPE_BYTES = 1 << 20
START_TIMEOUT_S = 60.0
"""Time limit for the child process to import LibRaw; it takes half a second from a warm disk (our choice)."""
MOST_MESSAGE = 200
KINDS_OF_SENSORS = "Bayer, X-Trans and monochrome raws"


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A raw file decoded by LibRaw.

    Attributes
    ----------
    frame : (FH, FW) uint16, the whole raw frame, linearised.
    header : metadata from `decode_child._describe`.
    """

    frame: FrameArray
    header: dict[str, Any]

    @property
    def warnings(self) -> tuple[str, ...]:
        """A warning with the beginning of LibRaw's messages, if it printed any that do not mean damage."""
        lines = (line.strip(": ") for line in self.header.get("messages", "").splitlines())
        printed = " / ".join(line for line in lines if line)
        if not printed:
            return ()
        text = printed if len(printed) <= MOST_MESSAGE else f"{printed[:MOST_MESSAGE]}..."
        return (f"the raw decoder printed a warning ({text}). Check the picture.",)


class Decoder:
    """A child process that runs LibRaw; as a context manager, it ends the process."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def decode(self, path: Path, timeout_s: float) -> DecodedFrame:
        """Decode one file.

        Raises
        ------
        InputError: if LibRaw cannot open the file, finds it damaged, crashes, or takes longer than `timeout_s`.
        UnsupportedRawError: if the file is valid but not a mosaic or monochrome.
        RawkdError: if the child process cannot be started.
        """
        used = self._child is not None
        try:
            return self._decode(path, timeout_s)
        except _DecoderCrashError:
            self.close()
            if not used:
                raise
            return self._decode(path, timeout_s)
        except InputError:
            raise
        except BaseException:
            self.close()
            raise

    def _decode(self, path: Path, timeout_s: float) -> DecodedFrame:
        child = self._started()
        with _killed_after(timeout_s, child) as expired:
            try:
                return self._ask(child, path)
            except (EOFError, OSError):
                if expired.is_set():
                    self.close()
                    what = f"decoding took longer than {timeout_s:g} s, so the file may be damaged"
                    raise InputError(f"{what}. {COPY_AGAIN}") from None
                raise _DecoderCrashError(f"the file is damaged: it crashes the raw decoder. {COPY_AGAIN}") from None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = _start()
            _wait_until_ready(self._child)
        return self._child

    def _ask(self, child: subprocess.Popen[bytes], path: Path) -> DecodedFrame:
        requests, answers = _pipe(child.stdin), _pipe(child.stdout)
        requests.write(json.dumps({"path": str(path.absolute())}).encode() + b"\n")
        requests.flush()
        header = _line(answers)
        if "error" in header:
            raise _refusal(header)
        if "shape" not in header:
            raise _unsupported(header)
        try:
            frame = np.empty(header["shape"], np.uint16)
        except MemoryError as error:
            raise MemoryLimitError(f"{path}: its raw frame does not fit into memory. Close other programs.") from error
        view = frame.reshape(-1).view(np.uint8).data
        while view:
            count = answers.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            view = view[count:]
        return DecodedFrame(frame, header)


def _start() -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(  # noqa: S603
            child_command(CHILD),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TZ": "UTC0"},  # cameras write local time without a zone; UTC keeps it unchanged
        )
    except OSError as error:
        raise RawkdError(f"the raw decoder's process cannot be started ({error}). Free memory and retry.") from error
    _widen(_pipe(child.stdout))
    return child


def _wait_until_ready(child: subprocess.Popen[bytes]) -> None:
    with _killed_after(START_TIMEOUT_S, child) as expired:
        try:
            hello = _line(_pipe(child.stdout))
        except EOFError:
            late = f"it was not ready after {START_TIMEOUT_S:g} s"
            hello = {"ready": False, "text": late if expired.is_set() else "it ended at once"}
    if not hello.get("ready"):
        raise RawkdError(f"the raw decoder cannot be started ({hello.get('text')}). Fix that, or reinstall rawkd.")


@contextmanager
def _killed_after(timeout_s: float, child: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
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


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise RawkdError("the raw decoder's process has no pipe. Try again.")
    return stream


def _widen(stream: IO[bytes]) -> None:
    """Enlarge the buffer of a pipe on Linux; ignore a refusal, since Linux limits their total size per user."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _line(answers: IO[bytes]) -> dict[str, Any]:
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    try:
        header: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise EOFError from error  # a crash may end in garbage
    return header


def _refusal(header: dict[str, Any]) -> InputError:
    kind = header["error"]
    if kind == "size":
        size = f"{header['width']} x {header['height']} pixels"
        return InputError(
            f"the file is truncated or damaged: it claims {size}, but is too short for them. {COPY_AGAIN}"
        )
    if kind in ("LibRawFileUnsupportedError", "NotImplementedError"):
        return UnknownFormatError(
            "this is not a raw file that LibRaw can read, or it is damaged. Give the camera's own raw file."
        )
    if kind in ("LibRawTooBigError", "LibRawUnsufficientMemoryError", "MemoryError"):
        return InputError(f"the file is damaged: it claims more pixels than fit into memory. {COPY_AGAIN}")
    return InputError(f"the raw data are truncated or damaged. {COPY_AGAIN}")


def _unsupported(header: dict[str, Any]) -> UnsupportedRawError:
    what = "a mosaic that is not Bayer or X-Trans (Super-CCD or similar)"
    if header["kind"] == "stack":
        what = "three or four colours at every pixel (linear, sRAW, Foveon, YRGB or pixel-shift)"
    return UnsupportedRawError(
        f"the file has {what}, and rawkd denoises {KINDS_OF_SENSORS} only. Use another raw file."
    )


class _DecoderCrashError(InputError):
    """The child process crashed on a file."""


class UnknownFormatError(InputError):
    """LibRaw does not recognise the file; the caller may replace this by a more precise error."""
