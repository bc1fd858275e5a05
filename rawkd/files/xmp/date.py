"""Read dates as XMP (ISO 8601) and EXIF write them, and say whether two of them are the same time.

Sources: XMP specification part 1, 8.2.1.2 (dates); EXIF 2.32, 4.6.6 F (DateTimeOriginal and its offset).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

DATE = re.compile(
    r"(\d{4})[-:](\d\d)[-:](\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|([+-]\d\d):([0-5]\d))?", re.ASCII
)
UNSET = re.compile(r"[0 :TZ.+-]*|000[01]\b.*", re.ASCII | re.DOTALL)
"""What programs and clocks that were never set write: zeros, or a time in the year 1."""
YEAR_MIN = 1826
"""Year of the oldest photograph: an earlier one is an error (our choice)."""


@dataclass(frozen=True)
class Date:
    """A time to the second or the minute.

    Attributes
    ----------
    time : what the clock showed, with its offset from UTC if that is known. has_seconds : False if only the minute is
        known. part : digits of the fraction of a second. zone : the offset as EXIF writes it, such as "+02:00".
    """

    time: datetime
    has_seconds: bool
    part: str | None
    zone: str | None

    @property
    def exif(self) -> str:
        """Return the date as EXIF writes it."""
        return f"{self.time:%Y:%m:%d %H:%M:%S}"

    def has_clock_of(self, other: Date) -> bool:
        """Return whether both clocks show the same, to the second or to the minute if one has no seconds."""
        mine, its = self._compared(other)
        return mine.replace(tzinfo=None) == its.replace(tzinfo=None)

    def is_instant_of(self, other: Date) -> bool:
        """Return whether both have an offset and are the same instant, as exactly as `has_clock_of`."""
        mine, its = self._compared(other)
        return self.zone is not None and other.zone is not None and mine == its

    def _compared(self, other: Date) -> tuple[datetime, datetime]:
        if self.has_seconds and other.has_seconds:
            return self.time, other.time
        return self.time.replace(second=0), other.time.replace(second=0)


def date_of(text: str) -> Date | None:
    """Return the date that a text states; None for one that is incomplete or impossible, or before `YEAR_MIN`."""
    found = DATE.fullmatch(text)
    if found is None or int(found[1]) < YEAR_MIN:
        return None
    *numbers, part, zone, hours, minutes = found.groups()
    offset = None
    try:
        if hours:
            east = timedelta(hours=int(hours[1:]), minutes=int(minutes))
            offset = timezone(-east if hours[0] == "-" else east)
        elif zone:
            offset, zone = UTC, "+00:00"
        year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
        time = datetime(year, month, day, hour, minute, second, tzinfo=offset)
    except ValueError:
        return None
    return Date(time, numbers[-1] is not None, part, zone)


def is_unset(text: str) -> bool:
    """Return whether a date states nothing: it is empty, all zeros, or of the year 1."""
    return UNSET.fullmatch(text) is not None
