"""Error classes, grouped by who can fix the problem.

A message says which file, what is wrong, and what to do. The command line maps classes to exit codes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class RawkdError(Exception):
    """Base class of all expected errors.

    Attributes
    ----------
    reason : the message without `advice`. advice : what to do, one way each.
    """

    def __init__(self, reason: str = "", *advice: str) -> None:
        """Make the message; a reason without `advice` says itself what to do."""
        super().__init__(_message(reason, advice))
        self.reason, self.advice = reason, advice

    def without(self, *followed: str) -> str:
        """Return the message without advice that a caller has followed already."""
        return _message(self.reason, [advice for advice in self.advice if advice not in followed])


class UsageError(RawkdError):
    """Options contradict each other or refer to something that does not exist."""


class InputError(RawkdError):
    """A file cannot be read, is damaged, or contains impossible values."""


class UnsupportedRawError(InputError):
    """The file is intact but of a kind that rawkd cannot denoise (linear, four colours, JPEG XL, ...)."""


class NoiseError(RawkdError):
    """No noise parameters were found, or the given ones are invalid."""


class ModelError(RawkdError):
    """A model is missing or damaged, or does not fit the device."""


class OutputError(RawkdError):
    """An output file cannot be written."""


class MemoryLimitError(RawkdError):
    """There is not enough memory for a photo or a training step."""


class CancelledError(RawkdError):
    """A program that uses rawkd cancelled the work."""


def refuse_other_type(value: object, name: str, kinds: type | tuple[type, ...], advice: str) -> None:
    """Refuse an argument of a program that has another type; True and False are no numbers.

    Parameters
    ----------
    name : of the argument. kinds : types that it may have. advice : what to pass, a sentence.

    Raises
    ------
    UsageError: if it has none of them.
    """
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join({kind.__name__: kind for kind in kinds})
        raise UsageError(f"{name} must be of type {names}, not {type(value).__name__}. {advice}")


def _message(reason: str, advice: Sequence[str]) -> str:
    return f"{reason}: {', or '.join(advice)}" if advice else reason


def sentence_of(error: Exception, photo: object = None) -> str:
    """Return an error as one line for the user: which file, what is wrong, what to do.

    Parameters
    ----------
    photo : name of the photo, put before a message that does not contain it; None if no photo is involved. It keeps
        its own white space.
    """
    name = "" if photo is None else str(photo)
    if isinstance(error, MemoryError):
        text = "there is not enough memory for this photo. Close other programs, or use a machine with more memory."
    elif isinstance(error, RawkdError):
        text = str(error)
    else:
        text = f"unexpected error ({type(error).__name__}: {error}). Add -v to see the traceback."
    parts = [re.sub(r"\s+", " ", part) for part in (text.split(name) if name else [text])]
    parts[0], parts[-1] = parts[0].lstrip(), parts[-1].rstrip()
    text = name.join(parts)
    if name in text or " ".join(name.split()) in text:
        return text
    return f"{photo}: {text}"
