"""Where an upload stands by its record, and when a run is due."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.uploads.completeness import Completeness
from tasks.uploads.ledger import INTERRUPTED, DatedRecord, RunRecord
from tasks.uploads.standing import StandingRules, retry_wait_s, standing

WHOLE = Completeness(True, "survey.json arrived last", None)
RULES = StandingRules(settings="now", lease_s=300, failures=3, retry_after_s=600)
WRITTEN = datetime(2026, 11, 22, 10, tzinfo=UTC)


def record(state: str, *, age_s: float = 0, settings: str = "now", **fields: object) -> DatedRecord:
    plain = {"survey": "s3://in/a/", "content": "c", "settings": settings, "state": state, "attempt": 1, **fields}
    return DatedRecord(RunRecord(**plain), WRITTEN, WRITTEN + timedelta(seconds=age_s))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    id: str
    found: DatedRecord | None
    state: str
    attempt: int | None
    again: bool = False


CASES = [
    Case("never-run", None, "complete", 1),
    Case("published", record("published"), "published", None),
    Case("published-with-other-settings-is-left-alone", record("published", settings="old"), "published", None),
    Case("unless-asked-for-again", record("published", settings="old"), "complete", 1, again=True),
    Case("again-with-the-same-settings-is-nothing-new", record("published"), "published", None, again=True),
    Case("rejected-is-never-tried-again", record("rejected", age_s=1e9, code="E_NO_CRS"), "rejected", None),
    Case("rejected-with-other-settings", record("rejected", settings="old", code="E_GSD_RANGE"), "complete", 1),
    Case("running", record("running", age_s=299), "running", None),
    Case("running-with-other-settings-is-waited-for", record("running", age_s=9, settings="old"), "running", None),
    Case("a-run-that-died", record("running", age_s=300), "failed", 2),
    Case("a-run-that-died-three-times", record("running", age_s=300, attempt=3, failures=2), "failed", None),
    Case("failed-just-now", record("failed", age_s=1, code="E_DISK_FULL"), "failed", None),
    Case("failed-a-while-ago", record("failed", age_s=900, code="E_DISK_FULL"), "failed", 2),
    Case("failed-three-times", record("failed", age_s=1e9, attempt=3, failures=2), "failed", None),
    Case("failed-three-times-with-other-settings", record("failed", settings="old", failures=2), "failed", 1),
    Case("interrupted-goes-on-at-once", record("failed", code=INTERRUPTED, attempt=9), "failed", 10),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_a_run_is_due_or_not(case: Case) -> None:
    found = standing(WHOLE, case.found, replace(RULES, again=case.again))
    assert (found.state, found.attempt) == (case.state, case.attempt)


def test_an_upload_that_is_not_whole_waits_until_it_is_due() -> None:
    due_at = WRITTEN + timedelta(seconds=900)
    found = standing(Completeness(False, "no survey.json", due_at), None, RULES)
    assert (found.state, found.attempt, found.due_at) == ("waiting", None, due_at)


@given(st.text(max_size=20), st.integers(1, 12))
def test_the_wait_after_failures_doubles_and_is_spread_by_at_most_a_half(content: str, failures: int) -> None:
    wait_s = retry_wait_s(content, failures=failures, retry_after_s=600)
    assert 600 * 2 ** (failures - 1) <= wait_s < 900 * 2 ** (failures - 1)


def test_surveys_that_fail_together_do_not_come_back_together() -> None:
    waits = {retry_wait_s(f"content-{i}", failures=1, retry_after_s=600) for i in range(100)}
    assert max(waits) - min(waits) > 200
