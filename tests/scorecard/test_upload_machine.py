"""Uploads in any order with anything that may go wrong, against the rules: a stateful machine.

Every upload ends published, rejected with its code, or given up after three failures, which a person must look at; a
message that nobody understands ends among the dead letters; and whoever reads sees whole results at each moment.
"""

import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tasks.crash_points import CrashPoint
from tasks.uploads.queue import Message
from tests.scorecard.upload_world import BAD, BROKEN, GOOD, Dying, World

NAMES = st.sampled_from(["bridge", "pier 7"])
KINDS = st.sampled_from([GOOD, BAD, BROKEN])
DEATHS: dict[str, tuple[CrashPoint, ...]] = {
    GOOD: (
        "before_rename",
        "after_run_begun",
        "after_output_file",
        "before_pointer_swap",
        "after_pointer_swap",
        "before_published_record",
        "before_published_mark",
        "after_published_mark",
    ),
    BAD: ("before_rename", "after_run_begun", "after_rejected_file", "after_end_record"),
    BROKEN: ("before_rename", "after_run_begun", "after_end_record"),
}
PASSED_OFTEN: tuple[CrashPoint, ...] = ("before_rename", "after_output_file")
MOST_ROUNDS = 12
"""More than the failures after which a content is given up."""


class Uploads(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spanscan-machine-"))
        self.world = World(self.folder)
        self.names: set[str] = set()
        self.lost: list[Message] = []

    @rule(name=NAMES, kind=KINDS, is_whole=st.sampled_from([True, True, True, False]), is_seen=st.booleans())
    def upload(self, name: str, kind: str, is_whole: bool, is_seen: bool) -> None:
        self.names.add(name)
        self.world.upload(name, kind, is_whole=is_whole)
        if is_seen:
            self.world.watch(is_cut=False)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.world.remove(name)

    @precondition(lambda self: self.world.queue.told)
    @rule(draw=st.data())
    def tell_again(self, draw: st.DataObject) -> None:
        self.world.queue.put(draw.draw(st.sampled_from(self.world.queue.told)))

    @rule(random=st.randoms(use_true_random=False))
    def reorder(self, random: Any) -> None:
        random.shuffle(self.world.queue.waiting)

    @precondition(lambda self: self.world.queue.waiting)
    @rule()
    def lose_a_message(self) -> None:
        self.lost.append(self.world.queue.waiting.pop(0))

    @rule(body=st.sampled_from(["", "{", '{"Records": 3}', "[]"]))
    def tell_nonsense(self, body: str) -> None:
        self.world.queue.put(body)

    @rule(is_cut=st.booleans())
    def watch(self, is_cut: bool) -> None:
        self.world.watch(is_cut=is_cut)

    @rule()
    def sweep(self) -> None:
        self.world.sweep()

    @rule()
    def pass_time(self) -> None:
        self.world.pass_time()

    @precondition(lambda self: self.world.prefect.due())
    @rule(draw=st.data())
    def inspect_while_a_newer_upload_is_published(self, draw: st.DataObject) -> None:
        run = draw.draw(st.sampled_from(self.world.prefect.due()))
        self.world.inspect(run, meanwhile=GOOD, is_overtaken=True)

    @precondition(lambda self: self.world.prefect.due())
    @rule(draw=st.data(), dies=st.booleans(), meanwhile=st.sampled_from([None, GOOD, BAD]))
    def inspect(self, draw: st.DataObject, dies: bool, meanwhile: str | None) -> None:
        run = draw.draw(st.sampled_from(self.world.prefect.due()))
        death = None
        if dies and (kind := self.world.kind_of(run)) is not None:
            point = draw.draw(st.sampled_from(DEATHS[kind]))
            death = Dying(point, draw.draw(st.integers(1, 4)) if point in PASSED_OFTEN else 1)
        self.world.inspect(run, dies=death, meanwhile=meanwhile)

    @invariant()
    def readers_see_whole_results(self) -> None:
        for name in self.names:
            self.world.published(name)

    @invariant()
    def a_refusal_has_its_quarantine_record(self) -> None:
        for name in self.names:
            upload = self.world.inbox.upload(name)
            if upload is not None and self.world.inbox.standing(upload).state == "rejected":
                refusal = json.loads(self.world.inbox.results_of(name).read("rejected.json"))
                assert refusal["content"] == upload.content

    def teardown(self) -> None:
        try:
            self._settle()
            for name in self.names:
                self._assert_ended(name)
            assert max(self.world.moves.values(), default=0) <= 1, "nobody is told twice that a run is published"
            assert self.world.queue.waiting == self.world.queue.received == []
            # A notification too, where the watcher died with it three times: what it told of, a sweep has found.
            dead = Counter(one.body for one in [*self.world.queue.dead, *self.lost])
            assert all(dead[body] >= count for body, count in Counter(self._nonsense()).items())
        finally:
            shutil.rmtree(self.folder)

    def _nonsense(self) -> list[str]:
        return [body for body in self.world.queue.told if not _is_notification(body)]

    def _settle(self) -> None:
        """Nothing new happens, and everybody goes on with what there is."""
        for _ in range(MOST_ROUNDS):
            self.world.pass_time()
            while self.world.queue.waiting:
                self.world.watch(is_cut=False)
            self.world.sweep()
            for run in self.world.prefect.due():
                self.world.inspect(run)

    def _assert_ended(self, name: str) -> None:
        world = self.world
        upload = world.inbox.upload(name)
        if upload is None or not world.inbox.completeness(upload).complete:
            return
        stands, kind = world.inbox.standing(upload), world.kinds[upload.content]
        state = {GOOD: "published", BAD: "rejected", BROKEN: "failed"}[kind]
        assert (stands.state, stands.attempt, stands.due_at) == (state, None, None)
        results = world.inbox.results_of(name)
        if kind == GOOD:
            assert world.published(name) == stands.run_key, "the newest upload is published"
            assert not results.exists("rejected.json")
        if kind == BAD:
            assert json.loads(results.read("rejected.json"))["code"] == stands.code == "E_NO_CRS"
        if kind == BROKEN:
            assert "given up after" in stands.why  # three failures; more where runs of earlier uploads found this one


def _is_notification(body: str) -> bool:
    try:
        return isinstance(json.loads(body)["Records"], list)
    except (ValueError, KeyError, TypeError):
        return False


def test_every_upload_ends_and_readers_see_whole_results() -> None:
    run_state_machine_as_test(
        Uploads, settings=settings(max_examples=30, stateful_step_count=20, deadline=None, print_blob=True)
    )


@pytest.mark.long
def test_every_upload_ends_and_readers_see_whole_results_at_length() -> None:
    run_state_machine_as_test(
        Uploads, settings=settings(max_examples=2000, stateful_step_count=60, deadline=None, print_blob=True)
    )
