"""Fault 7 for reviews: a decision and a revision whose process is killed at named points of the code."""

import hashlib
import json
import os
import signal
from functools import partial

import pytest

from tasks.crash_points import CRASH_AT, LATER_CRASH_POINTS
from tasks.publish_pointer import MANIFEST
from tasks.review.issue import issue_revision, published_revision
from tests.scorecard.forked_runs import ended, forked
from tests.tasks.review.runs import Reviewed

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
REVISION_POINTS = [point for point in LATER_CRASH_POINTS if "revision" in point]


def decide(reviewed: Reviewed, crash_at: str) -> None:
    os.environ[CRASH_AT] = crash_at
    defect = reviewed.defects[0].id
    log = reviewed.log()
    log.refresh()
    log.decide(defect, "accept", comment="looked", reviewer="Ada", saw=len(log.history(defect)))


def issue(reviewed: Reviewed, crash_at: str) -> None:
    os.environ[CRASH_AT] = crash_at
    issue_revision(
        reviewed.place,
        reviewed.kept,
        reviewed.log(),
        staging_dir=reviewed.staging,
        workers=1,
        on_structure=lambda done, of: None,
    )


def published(reviewed: Reviewed) -> int | None:
    """The number of the revision that a reader sees, every file of it whole."""
    storage = published_revision(reviewed.place.review, endpoint_url=None, region=None)
    if storage is None:
        return None
    manifest = json.loads(storage.read(MANIFEST))
    for key, sha256 in manifest["outputs_sha256"].items():
        assert hashlib.sha256(storage.read(key)).hexdigest() == sha256, key
    return int(manifest["number"])


def test_a_decision_that_was_killed_was_not_made_and_can_be_made_again(reviewed: Reviewed) -> None:
    assert ended(forked(partial(decide, reviewed, "before_rename"))) == KILLED
    log = reviewed.log()
    log.refresh()
    assert log.all() == ()
    assert ended(forked(partial(decide, reviewed, "nowhere"))) == 0
    log.refresh()
    assert [one.verdict for one in log.all()] == ["accept"]


def test_a_revision_that_was_killed_leaves_the_one_before_it_until_its_pointer_is_swapped(reviewed: Reviewed) -> None:
    """Kills one after another, each finding what the one before has left; a number that was taken is not used again."""
    assert ended(forked(partial(decide, reviewed, "nowhere"))) == 0
    seen = []
    for point in ("after_output_file:2", *REVISION_POINTS):
        assert ended(forked(partial(issue, reviewed, point))) == KILLED, point
        seen.append(published(reviewed))
    assert seen == [None, None, None, None, 5]
    for point in ("before_revision_manifest", "nowhere"):
        assert ended(forked(partial(issue, reviewed, point))) == (0 if point == "nowhere" else KILLED)
        seen.append(published(reviewed))
    assert seen[5:] == [5, 7]
