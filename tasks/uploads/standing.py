"""Where an upload stands and whether a run is due: the one rule for events, sweeps and `spanscan status`. Pure."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tasks.uploads.completeness import Completeness
from tasks.uploads.ledger import INTERRUPTED, DatedRecord

RUN_DIED = "E_RUN_DIED"
"""Code of a run that ended without a word."""
State = Literal["waiting", "complete", "running", "published", "rejected", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class StandingRules:
    """When a run is due."""

    settings: str
    """Names the model and the settings that are asked for now."""
    lease_s: float
    """A run whose record is older lives no more."""
    failures: int
    """Failures of one content with one choice of settings before a person must look; a rejection ends it at once."""
    retry_after_s: float
    """Least wait after the first failure; it doubles with each, and is drawn out by up to a half."""
    again: bool = False
    """Whether what was published with other settings is inspected again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the present content of a survey stands."""

    state: State
    why: str
    attempt: int | None = None
    """The attempt that is due now, 1 for the first; None where no run is due."""
    due_at: datetime | None = None
    """When a run will be due if nothing happens, not even a sign of life; None where it is due, or something must."""
    code: str | None = None
    run_key: str | None = None
    attempts_done: int = 0
    """Runs of this content so far, one under way included."""


def standing(completeness: Completeness, found: DatedRecord | None, rules: StandingRules) -> Standing:
    """Where an upload stands, by whether it is whole and by the record of its content."""
    if found is None:
        return _not_yet_run(completeness)
    record = found.record
    is_as_asked = record.settings == rules.settings
    if record.state == "published":
        if rules.again and not is_as_asked:
            return Standing("complete", "published with other settings, to be inspected again", attempt=1)
        return Standing("published", f"run {record.run_key}", run_key=record.run_key)
    if record.state == "rejected":
        if is_as_asked:
            return Standing("rejected", record.cause or "", code=record.code)
        return Standing("complete", f"rejected ({record.code}) with other settings", attempt=1)
    dead_at = found.written_at + timedelta(seconds=rules.lease_s)
    if record.state == "running" and found.now < dead_at:
        return Standing("running", f"attempt {record.attempt}", due_at=dead_at, attempts_done=record.attempt)
    return _failed(found, rules, is_as_asked=is_as_asked)


def cancelled(where: Standing) -> Standing:
    """Where an upload stands whose run is due, but was cancelled by a person."""
    why = "a person cancelled its run; `spanscan sweep --resume` with its name has it run"
    return Standing("cancelled", why, attempts_done=where.attempts_done)


def retry_wait_s(content: str, *, failures: int, retry_after_s: float) -> float:
    """Seconds from a failure to the next attempt: doubling, and spread by the content so that not all come at once."""
    spread = int(hashlib.sha256(f"{content}/{failures}".encode()).hexdigest()[:8], 16) / 2**32
    return float(retry_after_s * 2 ** (failures - 1) * (1 + spread / 2))


def _not_yet_run(completeness: Completeness) -> Standing:
    if completeness.complete:
        return Standing("complete", completeness.why, attempt=1)
    return Standing("waiting", completeness.why, due_at=completeness.due_at)


def _failed(found: DatedRecord, rules: StandingRules, *, is_as_asked: bool) -> Standing:
    record = found.record
    died = record.state == "running"
    why = f"the run died in attempt {record.attempt}" if died else record.cause or ""
    code = RUN_DIED if died else record.code
    if not is_as_asked:
        return Standing("failed", why, attempt=1, code=code, attempts_done=record.attempt)
    failures = record.failures_so_far
    if failures >= rules.failures:
        return Standing("failed", f"{why}; given up after {failures}", code=code, attempts_done=record.attempt)
    # A run that died has waited for its lease already, one that was interrupted has nothing to wait for.
    waits = not died and code != INTERRUPTED
    wait_s = retry_wait_s(record.content, failures=failures, retry_after_s=rules.retry_after_s) if waits else 0.0
    due_at = found.written_at + timedelta(seconds=wait_s)
    if found.now < due_at:
        return Standing("failed", why, code=code, due_at=due_at, attempts_done=record.attempt)
    return Standing("failed", why, attempt=record.attempt + 1, code=code, attempts_done=record.attempt)
