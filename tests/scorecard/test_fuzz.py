"""Parsers that meet uploads first never crash, hang or bloat, whatever they are given."""

import pytest

from tests.scorecard.fuzz import TARGETS, run, run_in_child


@pytest.mark.parametrize("target", TARGETS)
def test_some_hundred_mutated_inputs_are_read_or_refused(target: str) -> None:
    assert run(target, count=300, seed=7) == 300


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_a_hundred_thousand_mutated_inputs_are_read_or_refused_within_limits(target: str) -> None:
    done = run_in_child(target, count=100_000, seed=1)
    assert done.returncode == 0, done.stdout + done.stderr
