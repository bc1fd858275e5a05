"""What is asked of the raw decoder's process, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rawkd.errors import MemoryLimitError, RawkdError
from rawkd.files.read.not_raw import OUT_OF_MEMORY, refusal
from rawkd.photo import FrameArray

MOST_MESSAGE = 200
"""Characters of LibRaw's messages in a warning (our choice)."""


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """A raw file decoded by LibRaw.

    Attributes
    ----------
    frame : (FH, FW) uint16, the whole raw frame, linearised; (H, W, 3) of a demosaiced picture.
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


@dataclass(frozen=True)
class Request:
    """What is sent to the child process, and the sentences for what may go wrong."""

    values: dict[str, Any]
    data: bytes = b""
    too_large: str = ""
    late: str = ""
    crash: str = ""
    failed: str = ""

    def refused(self, answer: dict[str, Any]) -> RawkdError:
        """Return the error for an answer that names one; without a sentence of ours, it concerns the file."""
        if not self.failed:
            return refusal(answer)
        return MemoryLimitError(self.too_large) if answer["error"] in OUT_OF_MEMORY else RawkdError(self.failed)
