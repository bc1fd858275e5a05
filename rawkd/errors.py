"""What can go wrong, by whose hand it can be mended.

Every message is one sentence: which file, what happened, what to do. Exit codes are chosen by the command line.
"""

from __future__ import annotations


class RawkdError(Exception):
    """Any failure that rawkd expects and can name."""


class UsageError(RawkdError):
    """The options contradict each other or name something that does not exist."""


class InputError(RawkdError):
    """A file cannot be read, is damaged, or holds values that no camera writes."""


class UnsupportedRawError(InputError):
    """The file is sound but of a kind that rawkd does not denoise (X-Trans, linear, four colours, ...)."""


class NoiseError(RawkdError):
    """No noise parameters can be found, or the given ones make no sense."""


class ModelError(RawkdError):
    """A model is missing, altered, or unfit for the device."""


class OutputError(RawkdError):
    """The result cannot be written."""


class MemoryLimitError(RawkdError):
    """The photo does not fit into memory."""


def sentence_of(error: Exception, photo: object = None) -> str:
    """One line for the user: which file, what happened, what to do.

    Parameters
    ----------
    photo : its name, put before a sentence that does not hold it; None where the error is of no photo.
    """
    if isinstance(error, MemoryError):
        text = "there is not enough memory for this photo; close other programs or denoise it on a larger machine"
    elif isinstance(error, RawkdError):
        text = " ".join(str(error).split())
    else:
        text = f"something unexpected happened ({type(error).__name__}: {error}); rawkd -v shows the traceback"
        text = " ".join(text.split())
    if photo is None or str(photo) in text:
        return text
    return f"{photo}: {text}"
