"""Decode raw files, and demosaic X-Trans mosaics, with LibRaw in a child process, with a timeout.

A damaged file may crash or hang LibRaw. `Decoder` keeps one child process alive for several files. If a process that
has already decoded other files crashes, the file is tried again in a new process, because an earlier file may be the
cause (our choice).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from rawkd.errors import InputError, MemoryLimitError, RawkdError
from rawkd.files.child_process import child_command, json_line, killed_after, pipe_of, widen
from rawkd.files.read.decoded import DecodedFrame, Request
from rawkd.files.read.not_raw import unsupported
from rawkd.files.sanity import COPY_AGAIN
from rawkd.files.tiff.plain_dng import plain_dng
from rawkd.files.tiff.tile_bands import Bands
from rawkd.photo import CFAPattern, FrameArray

CHILD = Path(__file__).with_name("decode_child.py")
NAME = "the raw decoder"
START_TIMEOUT_S = 60.0
"""Time limit for the child process to import LibRaw; it takes half a second from a warm disk (our choice)."""
ENVIRONMENT = {"TZ": "UTC0", "MALLOC_MMAP_THRESHOLD_": "131072", "OPENBLAS_NUM_THREADS": "1"}
"""Cameras write local time without a zone; UTC keeps it unchanged. LibRaw does not set pixels that it cannot read: with
a fixed threshold, glibc clears them, else they may be those of an earlier photo. One BLAS thread starts faster."""
ISO_TIMEOUT_S = 60.0
"""Time limit to open a file; it takes milliseconds (our choice)."""
DEMOSAIC_TIMEOUT_S, DEMOSAIC_S_PER_MP = 60.0, 30.0
"""Time limit of demosaicing; three passes take 2 s for each megapixel on a busy core (measured)."""


class Decoder:
    """A child process that runs LibRaw; as a context manager, it ends the process."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child process."""
        child, self._child, self._is_ready = self._child, None, False
        if child is not None:
            child.kill()
            child.communicate()

    def start(self) -> None:
        """Start the child process ahead, so that it loads LibRaw while the caller does something else.

        The first request does so otherwise, and reports why the process cannot be started.
        """
        with suppress(RawkdError):
            self._child = self._child or _start()

    def decode(self, path: Path, timeout_s: float, bands: Bands | None = None) -> DecodedFrame:
        """Decode one file; `bands` of a DNG make it faster and change nothing else.

        Raises
        ------
        InputError: if LibRaw cannot open the file, finds it damaged, crashes, or takes longer than `timeout_s`.
        UnsupportedRawError: if the file is valid but not a mosaic or monochrome.
        RawkdError: if the child process cannot be started.
        """
        request = Request(
            {"path": str(path.absolute())},
            too_large=f"{path}: its raw frame does not fit into memory. Close other programs.",
            late=f"decoding took longer than {timeout_s:g} s, so the file may be damaged. {COPY_AGAIN}",
            crash=f"the file is damaged: it crashes the raw decoder. {COPY_AGAIN}",
        )
        if bands is None:
            return self._answered(request, timeout_s)
        values = {**request.values, "bytes": len(bands.directories), "bands": bands.request}
        faster = replace(request, values=values, data=bands.directories)
        return self._answered(request, timeout_s, faster)

    def iso_of(self, path: Path) -> float | None:
        """Return the ISO that LibRaw finds in maker notes and old containers, without decoding; None if it is unknown.

        Raises
        ------
        InputError: if LibRaw cannot open the file, crashes, or takes longer than a minute.
        RawkdError: if the child process cannot be started.
        """
        late = f"opening took longer than {ISO_TIMEOUT_S:g} s, so the file may be damaged. {COPY_AGAIN}"
        crash = f"the file is damaged: it crashes the raw decoder. {COPY_AGAIN}"
        request = Request({"path": str(path.absolute()), "iso_only": True}, late=late, crash=crash)
        iso = float(self._answered(request, ISO_TIMEOUT_S).header["iso"])
        return iso if math.isfinite(iso) and iso > 0 else None

    def demosaic(self, frame: FrameArray, pattern: CFAPattern, passes: int) -> FrameArray:
        """Demosaic an X-Trans mosaic by Markesteijn's method, as LibRaw does it.

        Parameters
        ----------
        frame : (H, W) uint16, at least 512 pixels a side, white-balanced. pattern : CFA at its origin.
        passes : 1, or 3 for slightly finer detail.

        Returns
        -------
        (H, W, 3) uint16 R, G, B in the same unit; the outermost 8 pixels are interpolated plainly.

        Raises
        ------
        MemoryLimitError: if the memory does not suffice.
        RawkdError: if LibRaw fails or the child process cannot be started.
        """
        dng = plain_dng(frame, pattern)
        timeout_s = DEMOSAIC_TIMEOUT_S + DEMOSAIC_S_PER_MP * frame.size / 1e6
        request = Request(
            {"bytes": len(dng), "passes": passes},
            dng,
            too_large="the demosaiced picture does not fit into memory. Close other programs.",
            late=f"demosaicing took longer than {timeout_s:.0f} s. Close other programs, or write a DNG.",
            crash="demosaicing crashed. Write a DNG, and report the photo.",
            failed="LibRaw cannot demosaic the photo. Write a DNG, and report the photo.",
        )
        try:
            return self._answered(request, timeout_s).frame
        except InputError as error:
            raise RawkdError(str(error)) from error

    def _answered(self, request: Request, timeout_s: float, faster: Request | None = None) -> DecodedFrame:
        """Return the answer to `faster`, if given; after its crash, or that of a used process, the one to `request`."""
        if faster is not None or self._is_ready:
            with suppress(_DecoderCrashError):
                return self._exchanged(faster or request, timeout_s)
        return self._exchanged(request, timeout_s)

    def _exchanged(self, request: Request, timeout_s: float) -> DecodedFrame:
        """Send one request; unless its answer is complete, the process has ended afterwards."""
        try:
            child = self._started()
            with killed_after(timeout_s, child) as expired:
                try:
                    return self._ask(child, request)
                except (EOFError, OSError):
                    error = InputError(request.late) if expired.is_set() else _DecoderCrashError(request.crash)
                    self.close()
                    raise error from None
        except InputError:  # an answer, or closed above
            raise
        except BaseException:
            self.close()
            raise

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = _start()
        if not self._is_ready:
            _wait_until_ready(self._child)
            self._is_ready = True
        return self._child

    def _ask(self, child: subprocess.Popen[bytes], request: Request) -> DecodedFrame:
        requests, answers = pipe_of(child.stdin, NAME), pipe_of(child.stdout, NAME)
        requests.write(json.dumps(request.values).encode() + b"\n" + request.data)
        requests.flush()
        header = json_line(answers)
        if "error" in header:
            raise request.refused(header)
        if "shape" not in header:
            raise unsupported(header)
        try:
            frame = np.empty(header["shape"], np.uint16)
        except MemoryError as error:
            raise MemoryLimitError(request.too_large) from error
        view = frame.reshape(-1).view(np.uint8).data
        while view:
            count = answers.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            view = view[count:]
        return DecodedFrame(frame, header)


def demosaic_once(frame: FrameArray, pattern: CFAPattern, passes: int) -> FrameArray:
    """Demosaic an X-Trans mosaic with a decoder of its own; as `Decoder.demosaic`."""
    with Decoder() as own:
        return own.demosaic(frame, pattern, passes)


def _start() -> subprocess.Popen[bytes]:
    try:
        child = subprocess.Popen(  # noqa: S603
            child_command(CHILD),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
        )
    except OSError as error:
        raise RawkdError(f"the raw decoder's process cannot be started ({error}). Free memory and retry.") from error
    widen(pipe_of(child.stdout, NAME))
    return child


def _wait_until_ready(child: subprocess.Popen[bytes]) -> None:
    with killed_after(START_TIMEOUT_S, child) as expired:
        try:
            hello = json_line(pipe_of(child.stdout, NAME))
        except EOFError:
            late = f"it was not ready after {START_TIMEOUT_S:g} s"
            hello = {"ready": False, "text": late if expired.is_set() else "it ended at once"}
    if not hello.get("ready"):
        raise RawkdError(f"the raw decoder cannot be started ({hello.get('text')}). Fix that, or reinstall rawkd.")


class _DecoderCrashError(InputError):
    """The child process crashed on a file."""
