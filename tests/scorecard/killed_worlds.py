"""What must hold of a survey whose run was ended early, against a run that nobody disturbed."""

import json
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.crash_points import CRASH_AT, CrashPoint
from tests.scorecard.forked_runs import Job, run
from tests.scorecard.killed_surveys import SURVEY, Place
from tests.scorecard.readers import Reader, published_now

KILLED = -signal.SIGKILL
SWAPPED: tuple[CrashPoint, ...] = (
    "after_pointer_swap",
    "before_published_record",
    "before_published_mark",
    "after_published_mark",
)
EITHER: tuple[CrashPoint, ...] = ("before_rename", "after_stage")
"""Passed before and after the pointer's swap."""
CHANGING = re.compile(r"(.*/)?(manifest\.json|latest\.json|rejected\.json|blocks/.*|uploads/.*)")
"""They tell when and how fast, which differs from run to run."""


@dataclass(frozen=True)
class World:
    """A survey whose older upload is published, and what an undisturbed run makes of the newer one."""

    place: Place
    old_run: str
    new_run: str
    expected: Mapping[str, bytes]
    passed: Mapping[str, int]
    """How often an undisturbed run passes each point."""

    def survives(self, point: CrashPoint, passing: int) -> None:
        """Kill a run at a passing of a point, look at what is published, run it again, look once more."""
        place = self.place
        place.begin()
        with Reader(place.storage, SURVEY) as reader:
            assert run(crashing(place.job, f"{point}:{passing}")) == KILLED
            visible = published_now(place.storage, SURVEY)
            allowed = {self.new_run} if point in SWAPPED else {self.old_run}
            assert visible in (allowed | {self.new_run} if point in EITHER else allowed)
            assert run(place.job) == 0
        assert reader.seen in ([self.old_run], [self.old_run, self.new_run])
        self.holds_in(place)

    def holds_in(self, place: Place) -> None:
        """The newer upload is published as the undisturbed run did it, and nothing half done lies about."""
        assert published_now(place.storage, SURVEY) == self.new_run
        assert upload_state(place) == "published"
        found = kept(place)
        assert sorted(found) == sorted(self.expected)
        assert [key for key in found if found[key] != self.expected[key]] == []
        assert place.temporaries_of(self.new_run) == []


def crashing(job: Job, at: str) -> Job:
    """The same run, ended at a passing of a crash point."""
    return replace(job, environment={**job.environment, CRASH_AT: at})


def undisturbed(place: Place, told: Path) -> World:
    """The older upload published, then the newer one in a run that counts the points it passes."""
    old_run = place.with_older_upload_published()
    place.begin()
    assert run(crashing(replace(place.job, told=told), "nowhere")) == 0
    outcome: dict[str, Any] = json.loads(told.read_text())
    assert published_now(place.storage, SURVEY) == outcome["run_key"] != old_run
    return World(place, old_run, outcome["run_key"], kept(place), outcome["passed"])


def kept(place: Place) -> dict[str, bytes]:
    """All that lies in the results and does not tell of times, by key."""
    keys = [found.key for found in place.storage.list("", recursive=True)]
    return {key: place.storage.read(key) for key in keys if not CHANGING.fullmatch(key)}


def upload_state(place: Place) -> str:
    """What the record of the present content of the survey says."""
    records = [
        json.loads(place.storage.read(one.key)) for one in place.storage.list(f"{SURVEY}/uploads/", recursive=True)
    ]
    (now,) = (record["state"] for record in records if record["content"] == place.content())
    return str(now)
