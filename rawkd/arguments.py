"""Check what other programs pass to `rawkd.api`: what does not fit is an error with one sentence, before any work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from rawkd.errors import CancelledError, InputError, UsageError, refuse_other_type
from rawkd.photo import DoubleArray, Rect
from rawkd.process import ProcessOptions
from rawkd.restore.context import Context
from rawkd.restore.mosaic import Progress, no_progress
from rawkd.restore.options import DenoiseOptions

A_PHOTO = "Pass what rawkd.read_raw or rawkd.photo_of returns."
Cancel = threading.Event | Callable[[], bool]
"""Set the event, or let the function return True, to stop the work."""


def path_of(value: object, name: str) -> Path:
    """Return a path that is text or a path; UsageError for anything else."""
    refuse_other_type(value, name, (str, os.PathLike), "Pass the path of a file as text.")
    path = os.fspath(value)  # type: ignore[call-overload]
    refuse_other_type(path, name, str, "Pass the path of a file as text.")
    return Path(path)


def refuse_other_options(options: object) -> None:
    """Refuse options of a file that are no `ProcessOptions`, or whose fields have other types; UsageError."""
    if options is None:
        return
    refuse_other_type(options, "options", ProcessOptions, "Pass rawkd.ProcessOptions(denoise=rawkd.DenoiseOptions()).")
    if isinstance(options, ProcessOptions):
        refuse_other_type(options.denoise, "denoise", DenoiseOptions, "Pass rawkd.DenoiseOptions().")
        refuse_other_type(options.exposure_ev, "exposure_ev", Real, "Give stops of brightness as a number.")
        refuse_other_type(options.jpeg_quality, "jpeg_quality", Integral, "Give a whole number from 1 to 100.")
        if options.crop is not None:
            refuse_other_type(options.crop, "crop", Rect, "Pass rawkd.photo.Rect(top, left, height, width).")
        for name in ("overwrite", "strip_location", "strip_private", "linear"):
            refuse_other_switch(getattr(options, name), name)


def refuse_other_switch(value: object, name: str) -> None:
    """Refuse what is neither True nor False; UsageError."""
    refuse_other_type(value, name, (bool, np.bool_), "Give True or False.")


def seconds_of(value: float, name: str) -> float:
    """Return a time limit that a thread can wait for; UsageError for anything else."""
    refuse_other_type(value, name, Real, "Give seconds as a number.")
    if not 0 < value <= threading.TIMEOUT_MAX:
        raise UsageError(f"{name} {value!r}: give seconds above 0 and up to {threading.TIMEOUT_MAX:.0f}.")
    return float(value)


def refuse_other_context(context: object) -> None:
    """Refuse what is neither a `Context` nor None; UsageError."""
    if context is not None:
        refuse_other_type(context, "context", Context, "Pass rawkd.Context(), or leave it out.")


def refuse_other_names(make: object, model: object) -> None:
    """Refuse names that are no text; UsageError."""
    for name, value in (("make", make), ("model", model)):
        refuse_other_type(value, name, str, "Give text, or leave it out.")


def numbers_of(values: ArrayLike, name: str, shape: tuple[int, ...] | None = None) -> DoubleArray:
    """Return finite numbers as an array, of `shape` if that is given; InputError for anything else."""
    try:
        numbers: DoubleArray = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} {values!r}: give numbers.") from error
    if not np.isfinite(numbers).all() or shape not in (None, numbers.shape):
        raise InputError(f"{name} {values!r}: give finite numbers{'' if shape is None else f' of shape {shape}'}.")
    return numbers


def watched(progress: Progress | None, cancel: Cancel | None) -> Progress:
    """Return a progress callback that raises CancelledError if `cancel` asks for it; UsageError for other types."""
    tell = progress or no_progress
    if not callable(tell):
        raise UsageError(f"progress {progress!r}: give a function of one number, or leave it out.")
    if cancel is None:
        return tell
    is_cancelled = cancel.is_set if isinstance(cancel, threading.Event) else cancel
    if not callable(is_cancelled):
        raise UsageError(f"cancel {cancel!r}: give a threading.Event or a function, or leave it out.")

    def check_and_tell(part: float) -> None:
        if is_cancelled():
            raise CancelledError("the work was cancelled; nothing was written.")
        tell(part)

    return check_and_tell
