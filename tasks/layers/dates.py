"""When a survey was flown, as an interval of instants: what was stated is a day, a time, or nothing."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

UNDATED: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The change time in layers of a survey that states no date: equal runs give equal bytes."""
_WHOLE_DAY = timedelta(days=1) - timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """The first and the last instant at which a survey can have been flown; equal where a time was stated."""

    start: datetime
    end: datetime


def capture_time(captured_at: str | None) -> CaptureTime | None:
    """The instants of an ISO 8601 text, in UTC; a time without a zone is taken for UTC, a date for the whole day.

    None where nothing was stated, or nothing that can be placed in UTC (the last hours of the year 9999).

    >>> capture_time("2025-05-04").end.isoformat()
    '2025-05-04T23:59:59+00:00'
    """
    if captured_at is None:
        return None
    try:
        stated = datetime.fromisoformat(captured_at)
        start = stated.replace(tzinfo=UTC) if stated.tzinfo is None else stated.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return CaptureTime(start, start + _WHOLE_DAY if _is_date(captured_at) else start)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def utc_text(instant: datetime) -> str:
    """An instant as RFC 3339 has it, to the second, ending in Z."""
    return instant.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
