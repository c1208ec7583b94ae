"""When a survey was flown: a day, a time, or nothing that could be told."""

import pytest

from tasks.layers.dates import capture_time, utc_text

STATED = {
    "2025-05-04": ("2025-05-04T00:00:00Z", "2025-05-04T23:59:59Z"),
    "20250504": ("2025-05-04T00:00:00Z", "2025-05-04T23:59:59Z"),
    "2025-05-04T10:30:00": ("2025-05-04T10:30:00Z", "2025-05-04T10:30:00Z"),
    "2025-05-04 10:30": ("2025-05-04T10:30:00Z", "2025-05-04T10:30:00Z"),
    "2025-05-04T10:30:00+02:00": ("2025-05-04T08:30:00Z", "2025-05-04T08:30:00Z"),
    "2025-05-04T10:30:00.75Z": ("2025-05-04T10:30:00Z", "2025-05-04T10:30:00Z"),
    "0001-01-01": ("0001-01-01T00:00:00Z", "0001-01-01T23:59:59Z"),
}


@pytest.mark.parametrize("stated", STATED)
def test_stated_time_becomes_instants_in_utc(stated: str) -> None:
    found = capture_time(stated)
    assert found is not None
    assert (utc_text(found.start), utc_text(found.end)) == STATED[stated]


@pytest.mark.parametrize("stated", [None, "spring", "", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"])
def test_what_is_no_instant_is_none(stated: str | None) -> None:
    assert capture_time(stated) is None
