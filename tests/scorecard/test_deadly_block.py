"""Fault 15 of the scorecard, without a cluster: a block that kills its process is named, and all others finish once."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.scorecard.forked_runs import Job, ended, forked, inspect, run
from tests.scorecard.killed_surveys import SURVEY
from tests.scorecard.killed_worlds import KILLED, World
from tests.scorecard.readers import published_now

DEADLY_COL = 512
"""Where the second block of the survey begins."""


@dataclass(frozen=True)
class Deadly:
    """The predictor, but for one block with which the process ends."""

    real: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs["owned"].col_start == DEADLY_COL:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.real(*args, **kwargs)


def inspect_with_a_deadly_block(job: Job) -> None:
    from segmentation.inference.predictor import Predictor

    deadly = Deadly(Predictor.segment)
    Predictor.segment = lambda *args, **kwargs: deadly(*args, **kwargs)  # type: ignore[method-assign]
    inspect(job)


@pytest.mark.slow
def test_it_is_named_after_three_deaths_and_the_others_finish_once(in_folders: World, tmp_path: Path) -> None:
    place = in_folders.place
    place.begin()
    job = replace(place.job, told=tmp_path / "told.json")
    records = Path(job.results, SURVEY, "runs", in_folders.new_run, "blocks")
    codes, finished = [], []
    for _ in range(4):
        codes.append(ended(forked(partial(inspect_with_a_deadly_block, job))))
        finished.append({path.name: path.stat().st_mtime_ns for path in records.rglob("*.json")})
    assert codes == [KILLED, KILLED, KILLED, 4]
    outcome = json.loads((tmp_path / "told.json").read_text())
    assert outcome["code"] == "E_BLOCK"
    assert "deck.tif, block at (row, col) (0, 1)" in outcome["message"]
    assert set(finished[1]) == {"00000-00000.json", "nodata.json"}, "the others are done by the second run"
    assert finished[1] == finished[2] == finished[3]
    assert published_now(place.storage, SURVEY) == in_folders.old_run
    assert run(job) == 0  # a machine with more memory, say
    in_folders.holds_in(place)
